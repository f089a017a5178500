"""What camera and storage do to a synthetic photo: blur, sharpening, noise and compression."""

import cv2
import numpy as np

from rayboot.synthesis.sampling import FaceSample

__all__ = ["encode_photo"]

_SHARPENING_RADIUS = 0.9
"""Standard deviation of the blur that sharpening subtracts, px."""

_COARSE_NOISE = 0.6
"""Strength of noise of large grain relative to that of single pixels: it is more visible."""


def encode_photo(image: np.ndarray, sample: FaceSample, rng: np.random.Generator) -> bytes:
    """Returns the JPEG file of a photo.

    Args:
        image: (S, S, 3) uint8 RGB, as rendered.
        sample: strengths of blur, noise and sharpening, and the qualities of compression.
        rng: random generator of the noise.
    """
    degraded: np.ndarray = image.astype(np.float32)
    if sample.blur > 0:
        degraded = cv2.GaussianBlur(degraded, (0, 0), sample.blur)
    if sample.noise > 0:
        degraded = degraded + _draw_noise(rng, sample, degraded.shape)
    if sample.sharpening > 0:
        smooth = cv2.GaussianBlur(degraded, (0, 0), _SHARPENING_RADIUS)
        degraded = degraded + sample.sharpening * (degraded - smooth)
    pixels = np.clip(np.rint(degraded), 0, 255).astype(np.uint8)
    if sample.reencoding is not None:
        pixels = _reencode(pixels, *sample.reencoding)
    return _encode_jpeg(pixels, sample.jpeg_quality).tobytes()


def _draw_noise(rng: np.random.Generator, sample: FaceSample, shape: tuple[int, ...]) -> np.ndarray:
    """Draws noise of the sample's strength, whose grains may be larger than a pixel."""
    noise: np.ndarray = rng.normal(0, 1, shape).astype(np.float32)
    if sample.grain > 0:
        smooth = cv2.GaussianBlur(noise, (0, 0), sample.grain)
        noise = smooth * (_COARSE_NOISE / max(float(smooth.std()), 1e-6))
    return np.asarray(sample.noise * noise)


def _reencode(pixels: np.ndarray, scale: float, quality: int) -> np.ndarray:
    """Returns a photo that was stored in another size before."""
    size = pixels.shape[0]
    other = round(size * scale)
    resized = cv2.resize(pixels, (other, other), interpolation=cv2.INTER_AREA)
    decoded = cv2.imdecode(_encode_jpeg(resized, quality), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return np.asarray(cv2.resize(decoded, (size, size), interpolation=cv2.INTER_LINEAR))


def _encode_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return np.asarray(cv2.imencode(".jpg", pixels[:, :, ::-1], settings)[1])
