"""Decoding photos as an image viewer would show them, and encoding images."""

import io
import warnings
from typing import Literal

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from rayboot.errors import FaceRejectedError

__all__ = ["MAX_PIXELS", "decode_photo", "encode_image", "make_thumbnail"]

MAX_PIXELS = 120_000_000
"""Largest number of pixels of a photo; more would need gigabytes of memory to decode."""

_MIN_SIDE = 16
"""Smallest width and height of a photo, px."""

_THUMBNAIL_SIDE = 64
"""Longer side of a thumbnail, px."""


def decode_photo(payload: bytes) -> np.ndarray:
    """Decodes a photo: rotated as its EXIF says, on white where transparent, in 8 bits.

    A truncated photo is rejected: its lower part would be grey, and a face there incomplete.

    Args:
        payload: Content of the file, in any format that Pillow reads; of an animation, the
            first frame is decoded.

    Returns:
        (H, W, 3) uint8 RGB; colour profiles are not applied.

    Raises:
        FaceRejectedError: stage ``read``; reason ``empty``, ``undecodable``,
            ``truncated``, ``too-small`` or ``too-large``.
    """
    if not payload:
        raise FaceRejectedError("read", "empty", "expected an image file, got an empty file")
    try:
        with warnings.catch_warnings():
            # Pillow warns at its own limit; ours is checked below.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            image = PIL.Image.open(io.BytesIO(payload))
            _require_size(image)
            image.load()
    except (FaceRejectedError, MemoryError):
        raise
    except PIL.UnidentifiedImageError as error:
        raise FaceRejectedError(
            "read", "undecodable", "expected an image file, got bytes of no known image format"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise FaceRejectedError("read", "too-large", f"{error}; resize the photo") from error
    except Exception as error:  # the decoders of the formats have no common error class
        # Pillow recognised the format, so what follows its header is incomplete or damaged.
        message = f"the image file is truncated or damaged: {error}"
        raise FaceRejectedError("read", "truncated", message) from error
    return _to_rgb(_apply_exif_rotation(image))


def _require_size(image: PIL.Image.Image) -> None:
    width, height = image.size
    if min(width, height) < _MIN_SIDE:
        raise FaceRejectedError(
            "read",
            "too-small",
            f"expected a photo of {_MIN_SIDE} px a side or more, got {width} x {height} px",
        )
    if width * height > MAX_PIXELS:
        raise FaceRejectedError(
            "read",
            "too-large",
            f"expected a photo of up to {MAX_PIXELS // 10**6} megapixels, got {width} x {height} "
            "px; resize the photo",
        )


def _apply_exif_rotation(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises errors of any class; viewers then ignore the EXIF
        return image


def _to_rgb(image: PIL.Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_grey(np.asarray(image), image.mode)
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            background = PIL.Image.new("RGBA", image.size, "white")
            image = PIL.Image.alpha_composite(background, image)
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise FaceRejectedError(
            "read",
            "undecodable",
            f"the colour mode {image.mode} cannot be converted to RGB; save the photo as RGB",
        ) from error


def _scale_grey(values: np.ndarray, mode: str) -> np.ndarray:
    """Returns (H, W, 3) uint8 of grey values of 16 or 32 bits, or of floats in [0, 1].

    The scale is kept; Pillow would clip the values at 255.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(values.max(initial=0))
    if mode.startswith("I;16") or highest > 255:
        white = 65535.0
    else:
        white = 1.0 if mode == "F" and highest <= 1 else 255.0
    grey = np.clip(np.rint(values / white * 255.0), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def encode_image(image: np.ndarray, image_format: Literal["jpeg", "png"]) -> bytes:
    """Encodes an image (H, W, 3) uint8 sRGB as PNG, or as JPEG of quality 95 with 4:4:4 colour."""
    if image_format == "png":
        suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95, *sampling]
    encoded, buffer = cv2.imencode(suffix, image[:, :, ::-1], options)
    assert encoded
    return buffer.tobytes()


def make_thumbnail(photo: np.ndarray) -> bytes:
    """Encodes a small JPEG of a photo, which is stored with rejects for people to look at."""
    scale = _THUMBNAIL_SIDE / max(photo.shape[:2])
    size = [max(1, round(length * scale)) for length in photo.shape[1::-1]]
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
