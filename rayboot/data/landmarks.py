"""Reading the 68 landmarks of a photo from a landmark file."""

import io

import numpy as np
import scipy.io

from rayboot.errors import FaceRejectedError
from rayboot.io.torch7 import read_torch7

__all__ = ["LANDMARK_SUFFIXES", "read_landmarks"]

LANDMARK_SUFFIXES = (".t7", ".pts", ".mat", ".npy")
"""Suffixes of landmark files; of several files of one photo, the first kind is chosen."""

_MIN_INSIDE = 0.5
"""Smallest fraction of the landmarks inside the photo; the jaw of a profile may be outside."""


def read_landmarks(payload: bytes, suffix: str, image_size: tuple[int, int]) -> np.ndarray:
    """Reads the landmarks of one photo, in iBUG order.

    Args:
        payload: Content of the file: ``.t7`` (a tensor), ``.pts`` (with or without
            header), ``.mat`` (AFLW2000-3D's ``pt3d_68``) or ``.npy``; one point per row, or
            transposed.
        suffix: Suffix of the file name, in lower case and with the dot.
        image_size: Width and height of the photo, px.

    Returns:
        (68, 2) float64, column and row. The first pixel is at 0 where the format defines it;
        ``.pts`` does not, and its numbers are returned unchanged.

    Raises:
        FaceRejectedError: stage ``landmarks``; reason ``unreadable``, ``wrong-shape``,
            ``not-finite`` or ``outside-image``.
    """
    parsers = {".t7": _parse_t7, ".pts": _parse_pts, ".mat": _parse_mat, ".npy": _parse_npy}
    try:
        points = parsers[suffix](payload)
    except Exception as error:  # the parsers have no common error class for damaged files
        raise FaceRejectedError(
            "landmarks",
            "unreadable",
            f"the {suffix} file contains no landmarks ({type(error).__name__}: {error})",
        ) from error
    if points.shape == (2, 68):
        points = points.T
    if points.shape != (68, 2):
        raise FaceRejectedError(
            "landmarks", "wrong-shape", f"expected 68 points, an array (68, 2), got {points.shape}"
        )
    if not np.isfinite(points).all():
        num_bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise FaceRejectedError(
            "landmarks", "not-finite", f"{num_bad} of the 68 landmarks are not finite numbers"
        )
    inside = ((points >= 0) & (points < image_size)).all(axis=1).mean()
    if inside < _MIN_INSIDE:
        raise FaceRejectedError(
            "landmarks",
            "outside-image",
            f"{1 - inside:.0%} of the landmarks are outside the photo of {image_size[0]} x "
            f"{image_size[1]} px; check that the landmark file belongs to the photo",
        )
    return points


def _parse_t7(payload: bytes) -> np.ndarray:
    value = read_torch7(payload)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"expected a tensor, got a {type(value).__name__}")
    return value.astype(np.float64)


def _parse_pts(payload: bytes) -> np.ndarray:
    lines = payload.decode("utf-8-sig").splitlines()
    rows = [line.split() for line in lines if line.strip() not in ("", "{", "}")]
    return np.array([row for row in rows if ":" not in row[0]], np.float64)


def _parse_mat(payload: bytes) -> np.ndarray:
    points = np.asarray(scipy.io.loadmat(io.BytesIO(payload))["pt3d_68"], np.float64)
    # MATLAB counts pixels from 1.
    return points[:2] - 1


def _parse_npy(payload: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(payload), allow_pickle=False), np.float64)
