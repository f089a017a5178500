import cv2
import numpy as np
import pytest

from rayboot.data.images import decode_photo
from rayboot.synthesis.degradation import encode_photo
from tests.synthesis.heads import draw, rng

CLEAN = {
    "blur": 0.0,
    "noise": 0.0,
    "sharpening": 0.0,
    "reencoding": None,
    "jpeg_quality": 98,
    "grain": 0.0,
}
EDGE = np.repeat(np.where(np.arange(96) < 48, 80, 160)[None, :, None], 96, axis=0)
IMAGE = np.repeat(EDGE, 3, axis=2).astype(np.uint8)


def encode(**changes: object) -> np.ndarray:
    photo = decode_photo(encode_photo(IMAGE, draw(**{**CLEAN, **changes}), rng()))
    assert photo.shape == IMAGE.shape
    return photo.astype(np.float64)


def test_a_photo_without_changes_is_kept() -> None:
    assert np.abs(encode() - IMAGE).max() <= 3


def test_blur_softens_an_edge_and_sharpening_exaggerates_it() -> None:
    blurred = encode(blur=1.5)
    assert np.diff(blurred, axis=1).max() < 30
    sharpened = encode(blur=0.7, sharpening=0.9)
    assert sharpened.max() > 163 and sharpened.min() < 77


@pytest.mark.parametrize("grain", [0.0, 0.8])
def test_noise_has_its_strength_and_grain(grain: float) -> None:
    noise = encode(noise=6.0, grain=grain)[:, :40] - 80
    assert 2.5 < noise.std() < 7
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.0).std()
    assert (smooth > 0.5 * noise.std()) == (grain > 0)


def test_an_earlier_copy_of_low_quality_leaves_traces() -> None:
    assert np.abs(encode(reencoding=(0.8, 45)) - IMAGE).mean() > np.abs(encode() - IMAGE).mean()
