"""68 landmarks from the files that lie beside photos."""

import io

import numpy as np
import scipy.io

from rayboot.errors import FaceRejectedError
from rayboot.io.torch7 import read_torch7

__all__ = ["LANDMARK_SUFFIXES", "read_landmarks"]

LANDMARK_SUFFIXES = (".t7", ".pts", ".mat", ".npy")
"""In the order in which one is chosen where a photo has several."""

_MIN_INSIDE = 0.5
"""Share of the landmarks that must lie in the photo; a profile's jaw may leave it."""


def read_landmarks(payload: bytes, suffix: str, image_size: tuple[int, int]) -> np.ndarray:
    """Landmarks of one photo, in iBUG order.

    Args:
        payload: the file's bytes: ``.t7`` (a tensor), ``.pts`` (with or without
            header), ``.mat`` (AFLW2000-3D's ``pt3d_68``) or ``.npy``.
        suffix: of its name, with the dot.
        image_size: width and height of the photo, px.

    Returns:
        (68, 2) float64, column and row, first pixel at 0 as far as the format tells.

    Raises:
        FaceRejectedError: stage ``landmarks``; reason ``unreadable``, ``wrong-shape``,
            ``not-finite`` or ``outside-image``.
    """
    readers = {".t7": _read_t7, ".pts": _read_pts, ".mat": _read_mat, ".npy": _read_npy}
    try:
        points = readers[suffix](payload)
    except Exception as error:  # every reader has errors of its own for a damaged file
        raise FaceRejectedError(
            "landmarks", "unreadable", f"no landmarks in the {suffix} file: {error}"
        ) from error
    if points.shape == (2, 68):
        points = points.T
    if points.shape != (68, 2):
        raise FaceRejectedError(
            "landmarks", "wrong-shape", f"expected 68 points (68, 2), got {points.shape}"
        )
    if not np.isfinite(points).all():
        raise FaceRejectedError("landmarks", "not-finite", "a landmark is not a finite number")
    inside = ((points >= 0) & (points < image_size)).all(axis=1).mean()
    if inside < _MIN_INSIDE:
        raise FaceRejectedError(
            "landmarks",
            "outside-image",
            f"{1 - inside:.0%} of the landmarks lie outside the photo of "
            f"{image_size[0]} x {image_size[1]} px",
        )
    return points


def _read_t7(payload: bytes) -> np.ndarray:
    value = read_torch7(payload)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"holds a {type(value).__name__}, not a tensor")
    return value.astype(np.float64)


def _read_pts(payload: bytes) -> np.ndarray:
    lines = payload.decode("utf-8-sig").splitlines()
    rows = [line.split() for line in lines if line.strip() not in ("", "{", "}")]
    return np.array([row for row in rows if ":" not in row[0]], np.float64)


def _read_mat(payload: bytes) -> np.ndarray:
    points = np.asarray(scipy.io.loadmat(io.BytesIO(payload))["pt3d_68"], np.float64)
    # MATLAB counts pixels from 1.
    return points[:2] - 1


def _read_npy(payload: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(payload), allow_pickle=False), np.float64)
