"""Errors of a network on faces whose shape is known."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rayboot.errors import DegenerateInputError
from rayboot.evaluate.nme import nme
from rayboot.geometry.surface import extract_surface
from rayboot.geometry.volume import keep_largest_component

__all__ = ["FaceError", "TrueFace", "measure_face", "select_band"]


class TrueFace(NamedTuple):
    """A photo's crop and its true shape.

    Attributes:
        face_id: of the photo.
        image: (S, S, 3) uint8 crop.
        vertices: (N, 3) of the true face region, crop frame, px.
        interocular: outer eye distance in 3D, px.
        yaw_deg: of the true pose.
    """

    face_id: str
    image: np.ndarray
    vertices: np.ndarray
    interocular: float
    yaw_deg: float


class FaceError(NamedTuple):
    """Errors of one face, shares of the outer eye distance; NaN where nothing was reconstructed."""

    face_id: str
    yaw_deg: float
    nme_icp: float
    nme_none: float


def measure_face(face: TrueFace, occupancy: np.ndarray) -> FaceError:
    """Error of a predicted volume (D, H, W) float32 against the true face."""
    try:
        mesh = extract_surface(keep_largest_component(occupancy))
    except DegenerateInputError:
        return FaceError(face.face_id, face.yaw_deg, float("nan"), float("nan"))
    with_icp = nme(mesh, face.vertices, face.interocular, "icp")
    without = nme(mesh, face.vertices, face.interocular, "none")
    return FaceError(face.face_id, face.yaw_deg, with_icp, without)


def select_band(errors: Iterable[FaceError], low: float, high: float) -> list[FaceError]:
    """Those with ``low <= |yaw| <= high``, degrees."""
    return [error for error in errors if low <= abs(error.yaw_deg) <= high]
