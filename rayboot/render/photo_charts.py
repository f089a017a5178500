"""Images in the crop's frame from which a solid takes its colours: the photo, and continuations.

What the photo shows of the solid has its own pixel. What it hides has the colours of the nearest
visible pixels; the back of the head has those of the face's outline, so that it does not show the
face in front of it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.render.inpaint import fill_nearest
from rayboot.render.visibility import Visibility, compute_visibility

__all__ = ["PhotoCharts", "Rim", "add_neighbours", "chart_photo", "make_charts", "values_at"]

_MAX_RIM_DIFFERENCE = 36
"""Largest difference (of 255, in any channel) between a pixel of the rim and the face next to
it; beyond that it is background."""

_RING_WIDTH = 2.0
"""Width of the ring inside the rim whose colours the back of the head gets, px of a 96 px crop."""

_BACK_DEPTH = 5.0
"""Depth behind the front (px of a 96 px crop) from which a surface is the back of the head, not
the hidden side of a nose: it must not show the face in front of it."""

_MIN_DONOR_PIXELS = 64
"""Smallest number of visible pixels of a face; with fewer, colours are projected plainly."""


class Rim(NamedTuple):
    """The pixels along a face's outline, which may show the background if the solid is too wide.

    Attributes:
        width: distance from the outline, px of a 96 px crop, within which pixels colour no hidden
            surface and are replaced where they differ from the face; one number, or (S, S) for
            each pixel of the photo.
        outer_width: distance within which pixels are replaced whatever they show. It is 0 where
            surroundings continue the face, so that both show the photo.
    """

    width: float | np.ndarray = 3.0
    outer_width: float = 1.0


class PhotoCharts(NamedTuple):
    """Images in the crop's frame that together colour a whole solid.

    Attributes:
        images: (3, S, S, 3) uint8: the photo without background on the face's rim; the same
            continued over everything around the face; the colours of the face's outline.
        chart: (N,) which image has the colour of each vertex.
        pixels: (N, 2) column and row of each vertex, the same in every image.
    """

    images: np.ndarray
    chart: np.ndarray
    pixels: np.ndarray


def chart_photo(mesh: Mesh, photo: np.ndarray) -> PhotoCharts:
    """Returns where the colours of :func:`color_vertices` come from, for a mesh of unknown pose.

    Args:
        mesh: mesh in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
    """
    charts = make_charts(mesh, photo, compute_visibility(mesh, photo.shape[0]), Rim())
    if charts is not None:
        return charts
    pixels = pixel_from_crop(mesh.vertices, *photo.shape[1::-1])
    return PhotoCharts(np.stack([photo] * 3), np.zeros(len(pixels), int), pixels)


def make_charts(
    mesh: Mesh, photo: np.ndarray, visibility: Visibility, rim: Rim
) -> PhotoCharts | None:
    """Returns the images that colour a solid, or None where too little of the face is visible.

    Args:
        mesh: mesh in the frame of the crop.
        photo: (S, S, 3) uint8 crop.
        visibility: visibility of the mesh to the crop's camera.
        rim: the pixels along the outline that may show the background.
    """
    size = photo.shape[0]
    pixels = pixel_from_crop(mesh.vertices, size, size)
    donors = visibility.visible_pixels & (visibility.outline_distance > rim.width)
    if donors.sum() < _MIN_DONOR_PIXELS:
        return None
    filled = fill_nearest(photo, donors)
    texture = _remove_background(photo, filled, visibility, rim)
    # Neighbours of visible vertices keep their own pixel as well: single steep vertices in a
    # visible region would otherwise stand out as speckles of the other side's light.
    direct = add_neighbours(mesh.faces, visibility.visible)
    # Not on the rim, where steep vertices are beside the pixels of the face.
    direct &= visibility.visible | values_at(donors, pixels)
    back = ~direct & (visibility.depth_behind_front(mesh.vertices) > _BACK_DEPTH)
    ring = fill_nearest(photo, donors & (visibility.outline_distance <= rim.width + _RING_WIDTH))
    chart = np.where(direct, 0, np.where(back, 2, 1))
    return PhotoCharts(np.stack([texture, filled, ring]), chart, pixels)


def _remove_background(
    photo: np.ndarray, filled: np.ndarray, visibility: Visibility, rim: Rim
) -> np.ndarray:
    """Returns the photo with background pixels of the rim replaced by the face next to them."""
    differs = (cv2.absdiff(photo, filled) > _MAX_RIM_DIFFERENCE).any(axis=-1)
    distance = visibility.outline_distance
    kept = (distance > rim.width) | ((distance > rim.outer_width) & ~differs)
    return np.where(kept[..., None], photo, filled)


def values_at(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Returns the values (N,) of an image (S, S) at columns and rows (N, 2)."""
    column, row = np.clip(np.rint(pixels).astype(int), 0, len(image) - 1).T
    return np.asarray(image[row, column])


def add_neighbours(faces: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the chosen vertices (N,) bool and those that share a triangle with one."""
    grown = np.zeros(len(chosen), bool)
    grown[faces[chosen[faces].any(axis=1)].ravel()] = True
    return grown
