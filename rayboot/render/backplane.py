"""The photo on the plane behind the face, with the face taken out of it.

Left in, the flat face of the photo looks out from behind the turned head as a
second one. It is filled from around, smoothly at every scale.
"""

from typing import Literal

import cv2
import numpy as np

from rayboot.geometry.pose import FacePose
from rayboot.render.inpaint import fill_from_around
from rayboot.render.scene import Backplane
from rayboot.render.visibility import silhouette

__all__ = ["BackplaneMode", "build_backplane"]

BackplaneMode = Literal["filled", "photo", "none"]
"""``filled``: face removed, smooth colours beyond the photo; ``photo``: the paper's
plain photograph, with nothing beyond it; ``none``: no plane."""

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
    photo: np.ndarray, vertices: np.ndarray, pose: FacePose, mode: BackplaneMode
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
    if mode == "none":
        return None
    size = photo.shape[0]
    behind = ((vertices - pose.centroid) @ pose.gaze).min() - _GAP
    reach, extent = (_REACH, _CANVAS) if mode == "filled" else (0.5, 1)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach * size
    # On the plane (p - centroid) . gaze = behind, solved for z at each corner's x, y.
    rest = behind - (square - pose.centroid[:2]) @ pose.gaze[:2]
    z = pose.centroid[2] + rest / pose.gaze[2]
    image = photo
    if mode == "filled":
        filled = fill_from_around(photo, silhouette(vertices, size, margin=round(size / 24)))
        image = _extend(filled)
    return Backplane(image, np.column_stack([square, z]), square / (extent * size) + 0.5)


def _extend(photo: np.ndarray) -> np.ndarray:
    """The photo in the middle of a canvas ``_CANVAS`` times its size, smooth around it."""
    size = photo.shape[0]
    small = cv2.resize(
        photo, (size // _COARSENESS, size // _COARSENESS), interpolation=cv2.INTER_AREA
    )
    margin = small.shape[0] * (_CANVAS - 1) // 2
    around = ((margin, margin), (margin, margin))
    hole = np.pad(np.zeros(small.shape[:2], bool), around, constant_values=True)
    surround = fill_from_around(np.pad(small, (*around, (0, 0))), hole)
    canvas = cv2.resize(surround, (_CANVAS * size, _CANVAS * size), interpolation=cv2.INTER_LINEAR)
    middle = slice(size * (_CANVAS - 1) // 2, size * (_CANVAS + 1) // 2)
    canvas[middle, middle] = photo
    return canvas
