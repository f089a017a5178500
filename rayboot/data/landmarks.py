"""The 68 landmarks of a photo from a landmark file, whatever tool wrote it."""

import numpy as np

from rayboot.data.landmark_files import FORMATS, parse_landmark_file
from rayboot.errors import DegenerateInputError, FaceRejectedError, ShapeError
from rayboot.geometry.landmark_schemes import MIRRORED_ORDER, complete_landmarks, to_ibug68

__all__ = ["LANDMARK_SUFFIXES", "UNKNOWN_KIND_REASONS", "read_landmarks"]

LANDMARK_SUFFIXES = tuple(FORMATS)
"""Suffixes of landmark files; of several files of one photo, the first kind is chosen."""

UNKNOWN_KIND_REASONS = frozenset(("unreadable", "wrong-shape", "unseen"))
"""Reasons of rejects whose landmark file does not say where the face is."""

_MIN_INSIDE = 0.5
"""Smallest fraction of the landmarks inside the photo; the jaw of a profile may be outside."""

_MAX_DISTANCE = 10.0
"""Distance from the first pixel, in sides of the photo, from which on a point counts as unseen."""

_UNSEEN = (0.0, -1.0)
"""Values that data sets write for both coordinates of a landmark that is not seen."""


def read_landmarks(
    payload: bytes, suffix: str, image_size: tuple[int, int], orientation: int = 1
) -> np.ndarray:
    """Reads the landmarks of one photo, in iBUG order.

    Landmarks that are not seen, NaN, (0, 0) or (-1, -1) in the file, are those of the mean face in
    this pose, as are those of the jaw where a file has 51 points. Of 98 and 106 points, 68 are
    selected.

    Args:
        payload: Content of the file, see
            :func:`~rayboot.data.landmark_files.parse_landmark_file`; one point per row, or
            transposed.
        suffix: Suffix of the file name, in lower case and with the dot.
        image_size: Width and height of the photo as it is shown, px.
        orientation: Orientation of the photo by its EXIF, 1 to 8. Tools that ignore it give
            landmarks of the stored pixels; these are turned if the face is then more upright.

    Returns:
        (68, 2) float64, column and row of the photo as it is shown; the centre of the first pixel
        is at 0.

    Raises:
        FaceRejectedError: stage ``landmarks``; reason ``unreadable``, ``wrong-shape``,
            ``unseen``, ``degenerate`` or ``outside-image``.
    """
    landmarks = _read_points(payload, suffix, image_size)
    if orientation != 1:
        landmarks = _orient(landmarks, image_size, orientation)
    try:
        landmarks = complete_landmarks(landmarks)
    except ShapeError as error:
        raise FaceRejectedError("landmarks", "unseen", str(error)) from error
    except DegenerateInputError as error:
        raise FaceRejectedError("landmarks", "degenerate", str(error)) from error
    inside = _inside_fraction(landmarks, image_size)
    if inside < _MIN_INSIDE:
        raise FaceRejectedError(
            "landmarks",
            "outside-image",
            f"{1 - inside:.0%} of the landmarks are outside the photo of {image_size[0]} x "
            f"{image_size[1]} px; check that the landmark file belongs to the photo",
        )
    return landmarks


def _read_points(payload: bytes, suffix: str, image_size: tuple[int, int]) -> np.ndarray:
    """Returns the landmarks (68, 2) in px from 0; unseen ones are NaN."""
    try:
        points, convention = parse_landmark_file(payload, suffix)
    except Exception as error:  # the parsers have no common error class for damaged files
        raise FaceRejectedError(
            "landmarks",
            "unreadable",
            f"the {suffix} file contains no landmarks ({type(error).__name__}: {error})",
        ) from error
    if points.ndim == 2 and points.shape[1] >= 2:
        points = points[:, :2]  # without depth or confidence
        points = np.where(_is_seen(points, image_size)[:, None], points - convention.origin, np.nan)
    try:
        landmarks = to_ibug68(points)
    except ShapeError as error:
        raise FaceRejectedError("landmarks", "wrong-shape", str(error)) from error
    return landmarks[:, ::-1] if convention.row_first else landmarks


def _is_seen(points: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Returns which points (N, 2) a file marks as seen, or places where some camera saw them."""
    marked = [(points == value).all(axis=1) for value in _UNSEEN]
    # A crop around a point far away would be of that size.
    with np.errstate(invalid="ignore"):
        is_near = (np.abs(points) <= _MAX_DISTANCE * max(image_size)).all(axis=1)
    return np.asarray(is_near & ~np.any(marked, axis=0))


def _inside_fraction(landmarks: np.ndarray, image_size: tuple[int, int]) -> float:
    seen = landmarks[np.isfinite(landmarks).all(axis=1)]
    # A landmark may be on the border of a pixel whose centre is at 0.
    inside = ((seen >= -0.5) & (seen <= np.array(image_size) - 0.5)).all(axis=1)
    return float(inside.mean()) if len(seen) else 0.0


def _orient(landmarks: np.ndarray, image_size: tuple[int, int], orientation: int) -> np.ndarray:
    """Returns landmarks of the photo as it is shown, whichever way the file gives them."""
    shown = _show_points(landmarks, image_size, orientation)
    candidates = [
        points
        for points in (landmarks, shown)
        if _inside_fraction(points, image_size) >= _MIN_INSIDE
    ]
    return max(candidates, key=_uprightness, default=landmarks)


def _show_points(
    landmarks: np.ndarray, image_size: tuple[int, int], orientation: int
) -> np.ndarray:
    """Returns landmarks of the stored pixels as EXIF's orientation shows them."""
    shown_width, shown_height = image_size
    is_transposed = orientation >= 5
    x, y = landmarks[:, ::-1].T if is_transposed else landmarks.T
    flips_x, flips_y = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    shown = np.column_stack(
        [shown_width - 1 - x if flips_x else x, shown_height - 1 - y if flips_y else y]
    )
    is_mirrored = orientation in (2, 4, 5, 7)
    return shown[MIRRORED_ORDER] if is_mirrored else shown


def _uprightness(landmarks: np.ndarray) -> float:
    """Returns 1 for an upright face, -1 for one upside down; 0 where too few landmarks are seen."""
    with np.errstate(invalid="ignore"):
        eyes, mouth = landmarks[36:48], landmarks[48:]
        if not (np.isfinite(eyes).any() and np.isfinite(mouth).any()):
            return 0.0
        down = np.nanmean(mouth, axis=0) - np.nanmean(eyes, axis=0)
    length = float(np.linalg.norm(down))
    return float(down[1]) / length if length else 0.0
