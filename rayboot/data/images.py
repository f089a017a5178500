"""Decoding photos as an image viewer would show them, and encoding images."""

import io
import warnings
from typing import Literal

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from rayboot.data.color_profiles import convert_to_srgb
from rayboot.data.image_formats import (
    describe_format,
    is_heif,
    is_unread_jpeg,
    register_heif,
    strip_png_text,
)
from rayboot.data.tiff_samples import decode_tiff, is_tiff, read_tiff_size
from rayboot.errors import FaceRejectedError

__all__ = [
    "MAX_PIXELS",
    "convert_image",
    "decode_photo",
    "encode_image",
    "make_thumbnail",
    "read_orientation",
]

MAX_PIXELS = 120_000_000
"""Largest number of pixels of a photo; more would need gigabytes of memory to decode."""

_MIN_SIDE = 16
"""Smallest width and height of a photo, px."""

_ORIENTATION_TAG = 0x0112

_THUMBNAIL_SIDE = 64
"""Longer side of the thumbnails that are stored with rejects, px."""


def decode_photo(payload: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes a photo: rotated as its EXIF says, in sRGB, on white where transparent, in 8 bits.

    A truncated photo is rejected: its lower part would be grey, and a face there incomplete.

    Args:
        payload: Content of the file, in any format that Pillow reads, or HEIC with the extra
            ``heic``; of an animation, the first frame is decoded.
        max_pixels: Largest number of pixels; memory is allocated only for photos within it.

    Returns:
        (H, W, 3) uint8 sRGB; photos without a colour profile are taken for sRGB.

    Raises:
        FaceRejectedError: stage ``read``; reason ``empty``, ``undecodable``,
            ``truncated``, ``too-small`` or ``too-large``.
    """
    if not payload:
        raise FaceRejectedError("read", "empty", "expected an image file, got an empty file")
    if is_heif(payload) and not register_heif():
        raise FaceRejectedError(
            "read",
            "undecodable",
            "the photo is HEIC, which the extra `heic` decodes; run `pip install "
            '"rayboot[heic]"` on every machine, then process the photo again with '
            "--retry-rejects read",
        )
    try:
        return _decode(payload, max_pixels)
    except PIL.UnidentifiedImageError as error:
        if is_tiff(payload) and (size := read_tiff_size(payload)) is not None:
            _require_size(*size, max_pixels)
            return decode_tiff(payload)
        raise FaceRejectedError(
            "read", "undecodable", f"expected an image file, got {describe_format(payload)}"
        ) from error


def convert_image(image: PIL.Image.Image) -> np.ndarray:
    """Returns an image of Pillow as :func:`decode_photo` returns the photo of a file.

    Raises:
        FaceRejectedError: stage ``read``; reason ``truncated``, ``too-small``, ``too-large``, or
            ``undecodable``.
    """
    _require_size(*image.size)
    try:
        image.load()
    except Exception as error:  # as in _decode; an image that was opened is read only now
        message = f"the image is truncated or damaged: {error}"
        raise FaceRejectedError("read", "truncated", message) from error
    return _to_rgb(convert_to_srgb(_apply_exif_rotation(image)))


def _decode(payload: bytes, max_pixels: int) -> np.ndarray:
    """Decodes a photo with Pillow.

    Raises:
        FaceRejectedError: as in :func:`decode_photo`.
        PIL.UnidentifiedImageError: Pillow does not recognise the format.
    """
    try:
        try:
            image = _load(payload, max_pixels)
        except ValueError:
            without_text = strip_png_text(payload)
            if without_text is None:
                raise
            image = _load(without_text, max_pixels)
    except (FaceRejectedError, MemoryError, PIL.UnidentifiedImageError):
        raise
    except PIL.Image.DecompressionBombError as error:
        raise FaceRejectedError("read", "too-large", f"{error}; resize the photo") from error
    except Exception as error:  # the decoders of the formats have no common error class
        # Pillow recognised the format, so what follows its header is incomplete or damaged.
        if is_unread_jpeg(payload):
            raise PIL.UnidentifiedImageError from error
        message = f"the image file is truncated or damaged: {error}"
        raise FaceRejectedError("read", "truncated", message) from error
    if image.mode == "I" and is_tiff(payload):
        return decode_tiff(payload)  # Pillow takes the largest of 32 bits for negative numbers
    return _to_rgb(convert_to_srgb(_apply_exif_rotation(image)))


def _load(payload: bytes, max_pixels: int) -> PIL.Image.Image:
    with warnings.catch_warnings():
        # Pillow warns at its own limit; ours is checked below.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        image = PIL.Image.open(io.BytesIO(payload))
        _require_size(*image.size, max_pixels)
        image.load()
    return image


def _require_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    if min(width, height) < _MIN_SIDE:
        raise FaceRejectedError(
            "read",
            "too-small",
            f"expected a photo of {_MIN_SIDE} px a side or more, got {width} x {height} px",
        )
    if width * height > max_pixels:
        raise FaceRejectedError(
            "read",
            "too-large",
            f"expected a photo of up to {max_pixels / 1e6:g} megapixels, got {width} x {height} "
            "px; resize the photo",
        )


def _apply_exif_rotation(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises errors of any class; viewers then ignore the EXIF
        return image


def read_orientation(payload: bytes) -> int:
    """Returns the orientation of a photo by its EXIF, 1 to 8; 1 where there is none.

    Args:
        payload: Content of the file; only its header is decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            orientation = PIL.Image.open(io.BytesIO(payload)).getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF raises errors of any class; the photo is then not turned
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


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


def make_thumbnail(photo: np.ndarray, side: int = _THUMBNAIL_SIDE) -> bytes:
    """Encodes a small JPEG of a photo, for people to look at.

    Args:
        photo: (H, W, 3) uint8 sRGB.
        side: longer side of the JPEG, px.
    """
    scale = side / max(photo.shape[:2])
    size = [max(1, round(length * scale)) for length in photo.shape[1::-1]]
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
