"""What is drawn: a painted face and the photo on a plane behind it."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["Backplane", "Scene", "TexturedMesh"]


class Backplane(NamedTuple):
    """A textured plane behind the face, orthogonal to the gaze.

    Attributes:
        image: (H, W, 3) uint8, the texture.
        corners: (4, 3) float, px, counter-clockwise seen from the front.
        texture_coordinates: (4, 2) float, origin at the image's lower left;
            beyond 0 and 1 the border's colours go on.
    """

    image: np.ndarray
    corners: np.ndarray
    texture_coordinates: np.ndarray


class TexturedMesh(NamedTuple):
    """A closed mesh with a picture as its texture.

    Attributes:
        vertices: (N, 3) float32, px.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        factors: (N, 3) float32 that multiply the texture's colours.
        image: (H, W, 3) uint8, the texture.
        texture_coordinates: (N, 2) float32, origin at the image's lower left.
        origin: (N,) int, the vertex of the undraped mesh that each is a copy of.
    """

    vertices: np.ndarray
    faces: np.ndarray
    factors: np.ndarray
    image: np.ndarray
    texture_coordinates: np.ndarray
    origin: np.ndarray


class Scene(NamedTuple):
    """A face in the frame of its source crop.

    Attributes:
        mesh: with vertex colours, or with a texture; of the latter only what faces the
            camera is drawn.
        backplane: or None for a plain background.
        background: (r, g, b) in 0..255, where nothing else is.
    """

    mesh: Mesh | TexturedMesh
    backplane: Backplane | None = None
    background: tuple[int, int, int] = (0, 0, 0)
