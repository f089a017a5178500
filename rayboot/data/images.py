"""Photos from bytes, as a viewer would show them, and back."""

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
"""A larger photo would take gigabytes while it is decoded."""

_MIN_SIDE = 16
_THUMBNAIL = 64


def decode_photo(payload: bytes) -> np.ndarray:
    """Decodes a photo: turned as its EXIF says, on white where transparent, in 8 bits.

    A photo that breaks off is refused: its lower part would be grey, and a face there
    half a face.

    Args:
        payload: the file's bytes, any format that Pillow reads; of an animation
            the first frame.

    Returns:
        (H, W, 3) uint8 RGB; colour profiles are not applied.

    Raises:
        FaceRejectedError: stage ``read``; reason ``empty``, ``undecodable``,
            ``truncated``, ``too-small`` or ``too-large``.
    """
    if not payload:
        raise FaceRejectedError("read", "empty", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            # The limit is ours, and said in our own words.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            image = PIL.Image.open(io.BytesIO(payload))
            _require_size(image)
            image.load()
    except (FaceRejectedError, MemoryError):
        raise
    except PIL.UnidentifiedImageError as error:
        raise FaceRejectedError(
            "read", "undecodable", "the file's bytes are of no known image format"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise FaceRejectedError("read", "too-large", f"{error}; reduce it first") from error
    except Exception as error:  # every format's decoder has errors of its own
        # Pillow found the format and then ran out of, or fell over, the data.
        message = f"the image breaks off or is damaged: {error}"
        raise FaceRejectedError("read", "truncated", message) from error
    return _to_rgb(_turned(image))


def _require_size(image: PIL.Image.Image) -> None:
    width, height = image.size
    if min(width, height) < _MIN_SIDE:
        raise FaceRejectedError(
            "read", "too-small", f"{width} x {height} px; at least {_MIN_SIDE} a side are needed"
        )
    if width * height > MAX_PIXELS:
        raise FaceRejectedError(
            "read",
            "too-large",
            f"{width} x {height} px is over {MAX_PIXELS // 10**6} megapixels; reduce it first",
        )


def _turned(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except Exception:  # of damaged EXIF any; viewers then show the photo as it lies
        return image


def _to_rgb(image: PIL.Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(np.asarray(image), image.mode)
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = PIL.Image.new("RGBA", image.size, "white")
            image = PIL.Image.alpha_composite(paper, image)
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise FaceRejectedError(
            "read", "undecodable", f"no way from the colours {image.mode} to RGB; save it as RGB"
        ) from error


def _from_deep_grey(values: np.ndarray, mode: str) -> np.ndarray:
    """16-bit grey keeps its scale, floats in [0, 1] theirs; Pillow would clip both at 255."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(values.max(initial=0))
    if mode.startswith("I;16") or highest > 255:
        full = 65535.0
    else:
        full = 1.0 if mode == "F" and highest <= 1 else 255.0
    grey = np.clip(np.rint(values / full * 255.0), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def encode_image(image: np.ndarray, image_format: Literal["jpeg", "png"]) -> bytes:
    """Bytes of an image (H, W, 3) uint8 sRGB: JPEG of quality 95 at full colour, or PNG."""
    if image_format == "png":
        suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95, *sampling]
    done, buffer = cv2.imencode(suffix, image[:, :, ::-1], options)
    assert done
    return buffer.tobytes()


def make_thumbnail(photo: np.ndarray) -> bytes:
    """A small JPEG of a photo, for people who look at rejects."""
    scale = _THUMBNAIL / max(photo.shape[:2])
    size = [max(1, round(length * scale)) for length in photo.shape[1::-1]]
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
