"""The coloured surface of a predicted volume."""

import numpy as np

from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.mesh import Mesh
from rayboot.render.texturing import color_vertices

__all__ = ["build_face_mesh"]


def build_face_mesh(volume: np.ndarray, crop: np.ndarray) -> Mesh:
    """Returns the closed surface of a volume in the colours of its crop.

    Args:
        volume: (D, S, S) float32, occupancy in [0, 1].
        crop: (S, S, 3) uint8.

    Raises:
        DegenerateInputError: the volume has no surface.
    """
    # The face may have any pose, so no symmetry plane is estimated.
    return color_vertices(extract_solid_surface(volume), crop, None, "mirrored")
