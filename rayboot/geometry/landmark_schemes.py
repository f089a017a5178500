"""Landmarks of other numbers than 68, and landmarks that nobody saw, as the 68 of iBUG.

Unseen landmarks are NaN until :func:`complete_landmarks` puts the mean face's in their places.
"""

import numpy as np

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.landmarks68 import NUM_JAW
from rayboot.geometry.orthographic_camera import fit_orthographic

__all__ = ["KNOWN_COUNTS", "MIRRORED_ORDER", "complete_landmarks", "to_ibug68"]

_IBUG68_IN_WFLW98 = np.array(
    [
        *(*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60)),
        *(60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)),
    ]
)
_IBUG68_IN_JD106 = np.array([*range(0, 33, 2), *range(33, 64), *range(84, 104)])

KNOWN_COUNTS = (68, 51, 98, 106)
"""Numbers of landmarks that are known: iBUG's, these without the jaw, WFLW's and JD-landmark's."""

_RANGES = [(0, 17), (17, 27), (27, 31), (31, 36)]
MIRRORED_ORDER = np.array(
    [index for first, end in _RANGES[:2] for index in range(end - 1, first - 1, -1)]
    + [*range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""Index of the landmark at each one's place after an image of a face is mirrored."""

_MIN_SEEN = 30
"""Smallest number of seen landmarks that a face is completed from; a profile shows about 40."""

_JAW_SCALE = 0.92
"""The mean head's jaw relative to that of photographed people, seen from the middle of the other
landmarks. With it, crops by 51 landmarks differ from crops by 68 by 3 % in scale and 1 % of the
width in position (medians of 103 faces of 300-W; 4 % and 2 % of 120 of AFLW2000-3D), without it
by 7 % in scale."""

_MAX_RESIDUAL = 0.2
"""Largest mean distance of 106 points from the mean face's projection, in outer eye distances.
Two orders of 106 points are in use, and points of the other one are far from a face."""


def to_ibug68(points: np.ndarray) -> np.ndarray:
    """Returns the 68 landmarks of iBUG among points of another scheme.

    Args:
        points: (N, 2), N one of :data:`KNOWN_COUNTS`: the points of iBUG; these without the 17 of
            the jaw; the 98 of WFLW; or the 106 of JD-landmark. Column and row, px.

    Returns:
        (68, 2) float64; landmarks that the scheme lacks are NaN.

    Raises:
        ShapeError: N is another number, or 106 points have another order.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in KNOWN_COUNTS:
        raise ShapeError(
            f"expected {', '.join(map(str, KNOWN_COUNTS))} points, an array (68, 2), got "
            f"{points.shape}"
        )
    if len(points) == 51:
        return np.concatenate([np.full((NUM_JAW, 2), np.nan), points])
    if len(points) == 98:
        return np.asarray(points[_IBUG68_IN_WFLW98])
    if len(points) == 106:
        return _require_face(points[_IBUG68_IN_JD106])
    return points


def _require_face(landmarks: np.ndarray) -> np.ndarray:
    """Returns landmarks (68, 2), unless they are far from those of the mean face in any pose."""
    seen = np.isfinite(landmarks).all(axis=1)
    outer_eyes = landmarks[36] - landmarks[45]
    residual = np.inf
    if seen.sum() >= _MIN_SEEN:
        try:
            camera = fit_orthographic(mean_landmarks()[seen], landmarks[seen] * (1, -1))
        except DegenerateInputError:
            camera = None
        if camera is not None:
            projected = camera.project(mean_landmarks()[seen]) * (1, -1)
            residual = np.linalg.norm(projected - landmarks[seen], axis=1).mean()
    # A profile's outer eye corners are close together, so the size of the face counts too.
    unit = max(
        float(np.linalg.norm(outer_eyes)), 0.5 * float(np.ptp(landmarks[seen], axis=0).max())
    )
    if not residual <= _MAX_RESIDUAL * unit:
        raise ShapeError(
            "expected the order of JD-landmark for 106 points, got points that are no face in it"
        )
    return landmarks


def complete_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Returns landmarks whose unseen ones are where the mean face has them in this pose.

    Args:
        landmarks: (68, 2), column and row; unseen landmarks are NaN.

    Returns:
        (68, 2) float64; seen landmarks are unchanged.

    Raises:
        ShapeError: fewer than 30 landmarks are seen.
        DegenerateInputError: the seen ones lie on one line.
    """
    landmarks = np.asarray(landmarks, np.float64)
    seen = np.isfinite(landmarks).all(axis=1)
    if seen.all():
        return landmarks
    if seen.sum() < _MIN_SEEN:
        raise ShapeError(
            f"expected {_MIN_SEEN} or more of the 68 landmarks, got {seen.sum()}; the others are "
            "stored as not seen"
        )
    model = mean_landmarks()
    middle = model[NUM_JAW:].mean(axis=0)
    model[:NUM_JAW] = middle + _JAW_SCALE * (model[:NUM_JAW] - middle)
    camera = fit_orthographic(model[seen], landmarks[seen] * (1.0, -1.0))
    completed = camera.project(model) * (1.0, -1.0)
    completed[seen] = landmarks[seen]
    return completed
