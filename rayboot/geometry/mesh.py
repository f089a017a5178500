"""A triangle mesh, with colours where they are known."""

from typing import NamedTuple

import numpy as np

__all__ = ["Mesh"]


class Mesh(NamedTuple):
    """Vertices, triangles and, where known, vertex colours.

    Attributes:
        vertices: (N, 3) float32, pixels, frame of :mod:`rayboot.geometry.camera`.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        colors: (N, 3) uint8 sRGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None
