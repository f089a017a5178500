"""A triangle mesh, with colours where they are known, and parts of it."""

from typing import NamedTuple

import numpy as np

__all__ = ["Mesh", "cut_mesh"]


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


def cut_mesh(mesh: Mesh, kept: np.ndarray) -> Mesh:
    """The part of a mesh whose vertices are kept: triangles of three such, order unchanged.

    Args:
        mesh: whole.
        kept: (N,) bool of its vertices.
    """
    faces = np.cumsum(kept)[mesh.faces[kept[mesh.faces].all(axis=1)]] - 1
    colors = None if mesh.colors is None else mesh.colors[kept]
    return Mesh(mesh.vertices[kept], faces.astype(np.int32), colors)
