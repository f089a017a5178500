"""The photo on the plane behind the face, with the face taken out of it.

Left in, the flat face of the photo looks out from behind the turned head as a
second one. It is filled from around, smoothly at every scale.
"""

from typing import Literal, assert_never

import cv2
import numpy as np

from rayboot.geometry.pose import FacePose
from rayboot.render.inpaint import inpaint
from rayboot.render.scene import Backplane
from rayboot.render.visibility import silhouette

__all__ = ["SurroundingsMode", "build_backplane"]

SurroundingsMode = Literal["plane", "photo", "none"]
"""``plane``: the photo on the backplane with the face inpainted and the borders extended;
``photo``: the unchanged photo on the backplane, as in the paper; ``none``: no backplane."""

_GAP = 2.0
"""Distance between the hindmost vertex and the plane, px."""

_REACH = 8.0
"""Half the extent of the plane in crops: covers the picture up to 80 degrees."""

_CANVAS = 3
"""The texture's extent in crops; the photo fills its middle. Mirroring the photo
instead draws stripes where a turned plane shows many crops side by side."""

_COARSENESS = 4
"""The colours beyond the photo are made this much coarser, for speed: they are smooth."""


def build_backplane(
    photo: np.ndarray, vertices: np.ndarray, pose: FacePose, mode: SurroundingsMode
) -> Backplane | None:
    """The plane orthogonal to the gaze behind the solid, with the photo on it.

    The photo is laid on along the camera's axis, so that the unturned view
    shows it where the photo has it.

    Args:
        photo: (S, S, 3) uint8 crop.
        vertices: (N, 3) of the solid, crop frame, px.
        pose: of the solid.
        mode: what the texture is.
    """
    match mode:
        case "none":
            return None
        case "photo":
            return _textured_plane(photo, vertices, pose, half_width=0.5, texture_crops=1)
        case "plane":
            hole = silhouette(vertices, photo.shape[0], margin=round(photo.shape[0] / 24))
            texture = _extend(inpaint(photo, hole))
            return _textured_plane(texture, vertices, pose, _REACH, _CANVAS)
        case _:
            assert_never(mode)


def _textured_plane(
    texture: np.ndarray,
    vertices: np.ndarray,
    pose: FacePose,
    half_width: float,
    texture_crops: int,
) -> Backplane:
    """The backplane as a square; ``half_width`` and ``texture_crops`` are in crops."""
    size = texture.shape[0] // texture_crops
    behind = ((vertices - pose.centroid) @ pose.gaze).min() - _GAP
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_width * size
    # On the plane (p - centroid) . gaze = behind, solved for z at each corner's x, y.
    rest = behind - (square - pose.centroid[:2]) @ pose.gaze[:2]
    z = pose.centroid[2] + rest / pose.gaze[2]
    corners = np.column_stack([square, z])
    return Backplane(texture, corners, square / (texture_crops * size) + 0.5)


def _extend(photo: np.ndarray) -> np.ndarray:
    """The photo in the middle of a canvas ``_CANVAS`` times its size, smooth around it."""
    size = photo.shape[0]
    small = cv2.resize(
        photo, (size // _COARSENESS, size // _COARSENESS), interpolation=cv2.INTER_AREA
    )
    margin = small.shape[0] * (_CANVAS - 1) // 2
    around = ((margin, margin), (margin, margin))
    hole = np.pad(np.zeros(small.shape[:2], bool), around, constant_values=True)
    surround = inpaint(np.pad(small, (*around, (0, 0))), hole)
    canvas = cv2.resize(surround, (_CANVAS * size, _CANVAS * size), interpolation=cv2.INTER_LINEAR)
    middle = slice(size * (_CANVAS - 1) // 2, size * (_CANVAS + 1) // 2)
    canvas[middle, middle] = photo
    return canvas
