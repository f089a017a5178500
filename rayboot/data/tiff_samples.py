"""TIFF files whose pixels Pillow does not know: floats in colour, signed or 32-bit integers."""

import io
from typing import NamedTuple

import cv2
import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from rayboot.errors import FaceRejectedError

__all__ = ["decode_tiff", "is_tiff", "read_tiff_size", "scale_to_bytes"]

_SAMPLE_KINDS = {1: "unsigned integer", 2: "signed integer", 3: "float", 5: "complex", 6: "complex"}
_WHITES = (1.0, 255.0, 65535.0, 4294967295.0)
"""Values that are white in files of floats; integers have the latter three."""

_MIN_WHITE_FRACTION = 1 / 8
"""Brightest value of a photo of floats as a fraction of white: with a smaller one the range cannot
be told, as in files of radiances."""


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    num_samples: int
    kind: str


def is_tiff(payload: bytes) -> bool:
    """Whether the first bytes are those of a TIFF file."""
    return payload[:4] in (b"II*\0", b"MM\0*")


def read_tiff_size(payload: bytes) -> tuple[int, int] | None:
    """Returns width and height that the header states; None where it is damaged."""
    header = _read_header(payload)
    return None if header is None else (header.width, header.height)


def decode_tiff(payload: bytes) -> np.ndarray:
    """Decodes a TIFF of grey or colour.

    Args:
        payload: Content of the file; its size was checked before.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        FaceRejectedError: stage ``read``, reason ``undecodable``; the message names the type of the
            pixels.
    """
    header = _read_header(payload)
    if header is None:
        raise FaceRejectedError("read", "undecodable", "the header of the TIFF file is damaged")
    pixel_type = f"{header.num_samples} x {header.bits}-bit {header.kind}"
    is_known = header.kind in ("unsigned integer", "signed integer") or (
        header.kind == "float" and header.bits in (32, 64)
    )
    pixels = _decode(payload) if is_known and header.num_samples in (1, 3, 4) else None
    if pixels is None:
        raise FaceRejectedError(
            "read",
            "undecodable",
            f"the TIFF file has pixels of {pixel_type}, which cannot be decoded; save the photo "
            "with 8 or 16 bits per channel",
        )
    colour = pixels[..., None].repeat(3, axis=2) if pixels.ndim == 2 else pixels[..., 2::-1]
    try:
        return scale_to_bytes(colour)
    except ValueError as error:
        raise FaceRejectedError(
            "read", "undecodable", f"the TIFF file has pixels of {pixel_type}, {error}"
        ) from error


def scale_to_bytes(values: np.ndarray) -> np.ndarray:
    """Scales values to 0 to 255 as uint8, if their range is plain.

    Args:
        values: Integers or floats of any shape; values that are not finite count as 0.

    Raises:
        ValueError: the range does not tell which value is white.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    is_float = np.issubdtype(values.dtype, np.floating)
    whites = _WHITES if is_float else _WHITES[1:]
    white = next((white for white in whites if high <= white), None)
    is_plain = white is not None and (
        not is_float or white == 1.0 or high >= _MIN_WHITE_FRACTION * white
    )
    if low < 0 or white is None or not is_plain:
        raise ValueError(
            f"with values from {low:g} to {high:g}; expected 0 to 1, 0 to 255 or 0 to 65535, so "
            "save the photo with 8 or 16 bits per channel"
        )
    scaled = np.rint(values.astype(np.float32) * np.float32(255.0 / white))
    return np.asarray(scaled.astype(np.uint8))


def _read_header(payload: bytes) -> _Header | None:
    try:
        directory = ImageFileDirectory_v2(payload[:8])
        file = io.BytesIO(payload)
        file.seek(directory.next)
        directory.load(file)
        bits = directory.get(258, (1,))
        kinds = directory.get(339, (1,))
        return _Header(
            int(directory[256]),
            int(directory[257]),
            int(bits[0]),
            int(directory.get(277, 1)),
            _SAMPLE_KINDS.get(kinds[0] if isinstance(kinds, tuple) else kinds, "unknown number"),
        )
    except Exception:  # damaged files raise errors of any class
        return None


def _decode(payload: bytes) -> np.ndarray | None:
    """Returns (H, W) or (H, W, 3 or 4), blue first; None for what OpenCV cannot decode."""
    level = cv2.utils.logging.getLogLevel()
    # OpenCV would print what it cannot decode; the reject says it.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        pixels: np.ndarray | None = cv2.imdecode(
            np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return pixels
