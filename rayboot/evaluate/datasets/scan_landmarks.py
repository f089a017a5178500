"""The 68 landmarks of a scan from a landmark file, whatever tool wrote it."""

import numpy as np

from rayboot.data.landmark_files import FORMATS, parse_landmark_file
from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.landmarks68 import NUM_JAW

__all__ = ["SCAN_LANDMARK_SUFFIXES", "read_scan_landmarks"]

SCAN_LANDMARK_SUFFIXES = tuple(FORMATS)
"""Suffixes of landmark files; the formats are those of photos' landmarks."""

_ALIGNED = slice(17, 48)
"""Brows, nose and eyes, which do not move when the mouth opens."""


def read_scan_landmarks(payload: bytes, suffix: str) -> np.ndarray:
    """Returns the 68 landmarks of a scan in iBUG order.

    The jaw of a file with 51 points is the mean face's, fitted to the brows, the nose and the eyes:
    nothing that is measured depends on it.

    Args:
        payload: Content of the file.
        suffix: Suffix of the file name, with the dot; one of :data:`SCAN_LANDMARK_SUFFIXES`.

    Returns:
        (68, 3) float64, in the scan's frame and unit.

    Raises:
        ShapeError: The file is damaged, holds other points, or its labels omit some.
    """
    kind = suffix.lower()
    if kind not in FORMATS:
        raise ShapeError(
            f"expected a landmark file that ends in {', '.join(SCAN_LANDMARK_SUFFIXES)}, got "
            f"{suffix or 'no suffix'}"
        )
    try:
        points, _ = parse_landmark_file(payload, kind)
    except Exception as error:  # the parsers have no common error class for damaged files
        raise ShapeError(
            f"no landmarks in the {kind} file ({type(error).__name__}: {error})"
        ) from error
    if points.shape not in ((68, 3), (51, 3)) or not np.isfinite(points).all():
        raise ShapeError(
            f"expected 68 finite points (68, 3), or 51 without jaw, got {points.shape}"
        )
    return points if len(points) == 68 else _add_jaw(points)


def _add_jaw(points: np.ndarray) -> np.ndarray:
    """Returns 68 landmarks of 51: the mean face's jaw comes first."""
    mean = mean_landmarks()
    upper = slice(_ALIGNED.start - NUM_JAW, _ALIGNED.stop - NUM_JAW)
    try:
        scan_from_mean = fit_similarity(mean[_ALIGNED], points[upper])
    except DegenerateInputError as error:
        raise ShapeError(f"the 51 landmarks are no face ({error})") from error
    return np.concatenate([scan_from_mean.apply(mean[:NUM_JAW]), points])
