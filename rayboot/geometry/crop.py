"""The 68-landmark crop: the similarity that VRN-Unguided was trained with.

With w x h the tight bounding box of the landmarks, the photo is scaled by
``90 / sqrt(w * h)`` for a crop of 192 px (in proportion for other sizes), and
the mean of the landmarks maps to the crop's centre. Pixel centres are integers.
"""

import cv2
import numpy as np

from rayboot.errors import DegenerateInputError, ShapeError

__all__ = [
    "apply_affine",
    "invert_affine",
    "landmark_crop",
    "resize_crop",
    "warp_closeup",
    "warp_photo",
]

_REFERENCE_SIZE = 192
_REFERENCE_BOX = 90.0

_MAX_CLOSEUP = 512
"""Largest width of what a viewer or a texture shows of a face, px."""


def landmark_crop(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Returns the similarity from photo pixels to crop pixels.

    Args:
        landmarks: (68, 2) float, column and row in the photo; any (N, 2) is accepted.
        size: width and height of the crop, px.

    Returns:
        (2, 3) float64 affine, without rotation.

    Raises:
        ShapeError: the landmarks are not (N, 2) with finite values.
        DegenerateInputError: their bounding box has no area.

    Source:
        The crop of the VRN author's scripts.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 2 or landmarks.shape[1] != 2 or not np.isfinite(landmarks).all():
        raise ShapeError(f"landmarks must be (68, 2) and finite, got shape {landmarks.shape}")
    width, height = np.ptp(landmarks, axis=0)
    if width * height <= 1e-6:
        raise DegenerateInputError(
            f"the landmarks' bounding box of {width:.3g} x {height:.3g} px has no area; "
            "check the landmark file"
        )
    scale = _REFERENCE_BOX / np.sqrt(width * height) * size / _REFERENCE_SIZE
    offset = (size - 1) / 2 - scale * landmarks.mean(axis=0)
    return np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])


def apply_affine(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies an affine (2, 3) to points (N, 2); returns float64."""
    affine = np.asarray(affine, np.float64)
    return np.asarray(np.asarray(points, np.float64) @ affine[:, :2].T + affine[:, 2])


def invert_affine(affine: np.ndarray) -> np.ndarray:
    """Returns the inverse (2, 3) of an affine (2, 3)."""
    linear = np.linalg.inv(np.asarray(affine, np.float64)[:, :2])
    return np.hstack([linear, -linear @ np.asarray(affine, np.float64)[:, 2:]])


def resize_crop(affine: np.ndarray, size: int, new_size: int) -> np.ndarray:
    """Returns the affine (2, 3) that extracts the same region of the photo at another size.

    Points in the crop's frame, whose origin is its centre, are then multiplied
    by ``new_size / size``.

    Args:
        affine: (2, 3), from photo px to px of a crop of ``size``.
        size: width and height of the present crop, px.
        new_size: width and height of the new crop, px.
    """
    scale = new_size / size
    offset = affine[:, 2] - (size - 1) / 2
    return np.column_stack([scale * affine[:, :2], scale * offset + (new_size - 1) / 2])


def warp_photo(photo: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """Resamples the crop from a photo.

    A strong reduction starts with area averaging, because bilinear sampling
    alone would alias. Outside the photo its border colours are replicated: black
    wedges would be a cue that no photograph has.

    Args:
        photo: (H, W, 3) uint8.
        affine: (2, 3), from photo px to crop px, as :func:`landmark_crop` returns.
        size: width and height of the crop, px.

    Returns:
        (size, size, 3) uint8.
    """
    affine = np.asarray(affine, np.float64)
    factor = int(1.0 / np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if factor >= 2 and min(photo.shape[:2]) >= factor:
        rows, columns = (length - length % factor for length in photo.shape[:2])
        photo = cv2.resize(
            photo[:rows, :columns],
            (columns // factor, rows // factor),
            interpolation=cv2.INTER_AREA,
        )
        # Reduced pixel j is centred on photo pixel factor * j + (factor - 1) / 2.
        offset = affine[:, :2] @ np.full(2, (factor - 1) / 2) + affine[:, 2]
        affine = np.column_stack([affine[:, :2] * factor, offset])
    return cv2.warpAffine(
        photo, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def warp_closeup(photo: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray | None:
    """Resamples the crop in the photo's resolution, as far as viewers and textures need it.

    Args:
        photo: (H, W, 3) uint8.
        affine: (2, 3), from photo px to crop px.
        size: width and height of the crop, px.

    Returns:
        (T, T, 3) uint8 with T at most 512, or None where the photo is no finer than the crop.
    """
    scale = np.sqrt(abs(np.linalg.det(np.asarray(affine, np.float64)[:, :2])))
    fine = min(_MAX_CLOSEUP, round(size / scale))
    return warp_photo(photo, resize_crop(affine, size, fine), fine) if fine > size else None
