"""Scenes to render: a coloured face and the photo on a plane behind it."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["Backplane", "Scene", "TexturedMesh"]


class Backplane(NamedTuple):
    """A textured plane behind the face, orthogonal to the gaze.

    Attributes:
        image: (H, W, 3) uint8, the texture.
        corners: (4, 3) float, px, counter-clockwise seen from the front.
        texture_coordinates: (4, 2) float, origin at the image's lower left; outside
            of [0, 1] the border's colours are repeated.
    """

    image: np.ndarray
    corners: np.ndarray
    texture_coordinates: np.ndarray


class TexturedMesh(NamedTuple):
    """A closed mesh with an image as its texture.

    Attributes:
        vertices: (N, 3) float32, px.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        factors: (N, 3) float32, by which the texture's colours are multiplied.
        image: (H, W, 3) uint8, the texture.
        texture_coordinates: (N, 2) float32, origin at the image's lower left.
        source_vertices: (N,) int, index of the vertex of the untextured mesh that each copies.
    """

    vertices: np.ndarray
    faces: np.ndarray
    factors: np.ndarray
    image: np.ndarray
    texture_coordinates: np.ndarray
    source_vertices: np.ndarray


class Scene(NamedTuple):
    """A face in the frame of its source crop.

    Attributes:
        mesh: mesh with vertex colours, or with a texture; of a textured mesh only the
            triangles that face the camera are rendered.
        backplane: plane behind the face; None for a uniform background.
        background: (r, g, b) in 0..255, colour of all other pixels.
    """

    mesh: Mesh | TexturedMesh
    backplane: Backplane | None = None
    background: tuple[int, int, int] = (0, 0, 0)
