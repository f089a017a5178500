"""Photos in the forms in which programs hold them: paths, bytes, arrays, images of Pillow."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import numpy as np
import PIL.Image

from rayboot.data.images import convert_image, decode_photo
from rayboot.errors import FaceRejectedError, RequestError, ShapeError
from rayboot.io.paths import escape_path, has_protocol

__all__ = ["NamedPhoto", "Photo", "decode_named", "name_photos"]

Photo: TypeAlias = str | os.PathLike[str] | bytes | np.ndarray | PIL.Image.Image
"""A photo: path or URI of a file, content of a file, (H, W, 3) uint8 RGB, or an image of Pillow."""

_EXPECTED = (
    "expected a path, the bytes of an image file, an array (H, W, 3) uint8 RGB or a PIL image, or "
    "a list of these"
)


class NamedPhoto(NamedTuple):
    """A photo and what messages call it.

    Attributes:
        name: path of the file, or number of the photo in its list.
        photo: the photo, not yet decoded.
    """

    name: str
    photo: Photo


def name_photos(photos: Photo | Sequence[Photo]) -> list[NamedPhoto]:
    """Names each photo, and checks their types before any work begins.

    Args:
        photos: a photo, or a list or tuple of photos.

    Raises:
        RequestError: a photo is of another type.
        ShapeError: an array is not (H, W, 3) uint8.
    """
    if not isinstance(photos, list | tuple):
        return [_name_photo(cast("Photo", photos), "the photo")]
    return [
        _name_photo(photo, f"photo {number} of {len(photos)}, counted from 0")
        for number, photo in enumerate(photos)
    ]


def _name_photo(photo: Photo, place: str) -> NamedPhoto:
    match photo:
        case str() | os.PathLike():
            return NamedPhoto(escape_path(os.fspath(photo)), photo)
        case bytes() | bytearray() | memoryview():
            return NamedPhoto(place, bytes(photo))
        case PIL.Image.Image():
            return NamedPhoto(str(getattr(photo, "filename", "") or place), photo)
        case np.ndarray():
            if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
                raise ShapeError(
                    f"{place}: an array must be (H, W, 3) uint8 RGB, got {photo.shape} "
                    f"{photo.dtype}; give several photos as a list"
                )
            return NamedPhoto(place, photo)
        case _:
            raise RequestError(f"{place}: {_EXPECTED}; got {type(photo).__name__}")


def decode_named(named: NamedPhoto) -> np.ndarray:
    """Returns the photo as (H, W, 3) uint8 sRGB, upright.

    Raises:
        FaceRejectedError: stage ``read``; the file does not exist or cannot be decoded. The message
            begins with the photo's name.
    """
    try:
        match named.photo:
            case np.ndarray():
                return named.photo
            case PIL.Image.Image():
                return convert_image(named.photo)
            case bytes():
                return decode_photo(named.photo)
            case path:
                return decode_photo(_read_file(os.fspath(path)))
    except FaceRejectedError as error:
        message = f"{named.name}: {error.message}"
        raise FaceRejectedError(error.stage, error.reason, message) from error


def _read_file(path: str) -> bytes:
    try:
        if not has_protocol(path):
            return Path(path).expanduser().read_bytes()
        # Stores are loaded only for those who name one.
        from rayboot.io.storage import read_bytes

        return read_bytes(path)
    except FileNotFoundError as error:
        raise FaceRejectedError("read", "missing", "there is no such file") from error
    except (OSError, ValueError) as error:
        raise FaceRejectedError("read", "unreadable", f"cannot be read ({error})") from error
