"""Synthetic photos in which the detector sees the one person that is there."""

from pathlib import Path

import numpy as np

from rayboot.data.detector import FaceDetector
from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError


def find_portraits(synthetic_set: str, detector: FaceDetector, num_photos: int) -> list[np.ndarray]:
    """Returns the first such photos (H, W, 3) uint8 of a synthetic data set."""
    found: list[np.ndarray] = []
    for path in sorted(Path(synthetic_set).rglob("*.jpg")):
        photo = decode_photo(path.read_bytes())
        if len(found) < num_photos and _shows_one_face(detector, photo):
            found.append(photo)
    assert len(found) == num_photos
    return found


def _shows_one_face(detector: FaceDetector, photo: np.ndarray) -> bool:
    try:
        return len(detector.detect(photo)) == 1
    except FaceRejectedError:
        return False
