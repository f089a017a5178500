"""The photo on a plane behind the face, with the face inpainted.

If the face stayed in the photo, the plane would show it flat behind the rotated
head, as a second face. It is therefore filled from its surroundings, smoothly at
every scale.
"""

from typing import Literal, assert_never

import cv2
import numpy as np

from rayboot.geometry.pose import FacePose
from rayboot.render.inpaint import inpaint
from rayboot.render.scene import Backplane
from rayboot.render.visibility import silhouette_mask

__all__ = ["SurroundingsMode", "build_backplane"]

SurroundingsMode = Literal["plane", "photo", "none"]
"""``plane``: the photo on the backplane with the face inpainted and the borders extended;
``photo``: the unchanged photo on the backplane, as in the paper; ``none``: no backplane."""

_GAP = 2.0
"""Distance between the rearmost vertex and the plane, px."""

_HALF_WIDTH = 8.0
"""Half the plane's width in crops; this covers the image up to rotations of 80 degrees."""

_CANVAS_SIZE = 3
"""The texture's width in crops; the photo fills its middle. A mirrored photo instead would
show stripes where many crops of a rotated plane are visible side by side."""

_COARSENESS = 4
"""Factor by which the colours beyond the photo are coarser, for speed: they are smooth."""


def build_backplane(
    photo: np.ndarray, vertices: np.ndarray, pose: FacePose, mode: SurroundingsMode
) -> Backplane | None:
    """Returns the plane behind the solid, orthogonal to the gaze, with the photo on it.

    The photo is projected along the camera's axis, so that the unrotated view
    shows it exactly where the photo does.

    Args:
        photo: (S, S, 3) uint8 crop.
        vertices: (N, 3) vertices of the solid, crop frame, px.
        pose: pose of the solid.
        mode: content of the texture; ``none`` returns None.
    """
    match mode:
        case "none":
            return None
        case "photo":
            return _textured_plane(photo, vertices, pose, half_width=0.5, texture_size=1)
        case "plane":
            hole = silhouette_mask(vertices, photo.shape[0], margin=round(photo.shape[0] / 24))
            texture = _extend(inpaint(photo, hole))
            return _textured_plane(texture, vertices, pose, _HALF_WIDTH, _CANVAS_SIZE)
        case _:
            assert_never(mode)


def _textured_plane(
    texture: np.ndarray,
    vertices: np.ndarray,
    pose: FacePose,
    half_width: float,
    texture_size: int,
) -> Backplane:
    """Returns the backplane as a square; ``half_width`` and ``texture_size`` are in crops."""
    size = texture.shape[0] // texture_size
    depth = ((vertices - pose.centroid) @ pose.gaze).min() - _GAP
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_width * size
    # The plane is (p - centroid) . gaze = depth, solved for z at each corner's x and y.
    remainder = depth - (square - pose.centroid[:2]) @ pose.gaze[:2]
    z = pose.centroid[2] + remainder / pose.gaze[2]
    corners = np.column_stack([square, z])
    return Backplane(texture, corners, square / (texture_size * size) + 0.5)


def _extend(photo: np.ndarray) -> np.ndarray:
    """Returns the photo in the middle of a canvas ``_CANVAS_SIZE`` times its size, smoothly."""
    size = photo.shape[0]
    small = cv2.resize(
        photo, (size // _COARSENESS, size // _COARSENESS), interpolation=cv2.INTER_AREA
    )
    margin = small.shape[0] * (_CANVAS_SIZE - 1) // 2
    padding = ((margin, margin), (margin, margin))
    hole = np.pad(np.zeros(small.shape[:2], bool), padding, constant_values=True)
    extended = inpaint(np.pad(small, (*padding, (0, 0))), hole)
    canvas_px = _CANVAS_SIZE * size
    canvas = cv2.resize(extended, (canvas_px, canvas_px), interpolation=cv2.INTER_LINEAR)
    middle = slice(size * (_CANVAS_SIZE - 1) // 2, size * (_CANVAS_SIZE + 1) // 2)
    canvas[middle, middle] = photo
    return canvas
