"""Scenes to render: a coloured face and the photo around and behind it."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["Scene", "TexturedMesh", "TexturedSurface", "textured_square"]


class TexturedSurface(NamedTuple):
    """A surface around the face, with an image as its texture; seen from the front only.

    Attributes:
        vertices: (N, 3) float, px.
        faces: (F, 3) int, counter-clockwise seen from the front.
        image: (H, W, 3) uint8, the texture.
        texture_coordinates: (N, 2) float, origin at the image's lower left; outside
            of [0, 1] the border's colours are repeated.
    """

    vertices: np.ndarray
    faces: np.ndarray
    image: np.ndarray
    texture_coordinates: np.ndarray


def textured_square(
    image: np.ndarray, corners: np.ndarray, texture_coordinates: np.ndarray
) -> TexturedSurface:
    """Returns a plane square.

    Args:
        image: (H, W, 3) uint8, the texture.
        corners: (4, 3), px, counter-clockwise seen from the front.
        texture_coordinates: (4, 2).
    """
    return TexturedSurface(corners, np.array([[0, 1, 2], [0, 2, 3]]), image, texture_coordinates)


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
        surroundings: what is behind and around the face, front to back or in any order.
        background: (r, g, b) in 0..255, colour of all other pixels.
    """

    mesh: Mesh | TexturedMesh
    surroundings: tuple[TexturedSurface, ...] = ()
    background: tuple[int, int, int] = (0, 0, 0)
