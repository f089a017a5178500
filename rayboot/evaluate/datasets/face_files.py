"""Reading the files of a single face.

A missing or damaged file rejects that face only; an unavailable store fails the run.
"""

import io
from typing import Any

import numpy as np
import scipy.io

from rayboot.data.images import decode_photo
from rayboot.errors import FaceRejectedError
from rayboot.io.retry import retry_io
from rayboot.io.storage import read_bytes

__all__ = ["read_face_file", "read_mat", "read_photo"]


def read_face_file(uri: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
        FaceRejectedError: The file does not exist (stage ``read``, reason ``missing``).
        StoreError: The store stays unavailable.
    """
    try:
        return retry_io(lambda: read_bytes(uri), uri)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise FaceRejectedError("read", "missing", f"{uri} does not exist") from error


def read_photo(uri: str) -> np.ndarray:
    """Returns a photo, (H, W, 3) uint8 RGB.

    Raises:
        FaceRejectedError: The photo is missing or damaged (stage ``read``); the message names it.
    """
    try:
        return decode_photo(read_face_file(uri))
    except FaceRejectedError as error:
        if error.reason == "missing":
            raise
        raise FaceRejectedError("read", error.reason, f"{uri}: {error.message}") from error


def read_mat(uri: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Returns arrays of a MATLAB file as float64, as their types differ from file to file.

    Args:
        uri: URI of the file.
        shapes: Expected shapes of the arrays to read, by name; 0 stands for any length.

    Raises:
        FaceRejectedError: The file is missing or damaged, or an array is missing, has another
            shape or is not finite (stage ``read``); the message names the file and the array.
    """
    payload = read_face_file(uri)
    try:
        values = scipy.io.loadmat(io.BytesIO(payload), variable_names=list(shapes))
        arrays = {name: np.asarray(values[name], np.float64) for name in shapes if name in values}
    except Exception as error:  # SciPy raises any exception on a damaged .mat
        raise FaceRejectedError("read", "unreadable", f"{uri}: {error}") from error
    missing = sorted(shapes.keys() - arrays.keys())
    if missing:
        raise FaceRejectedError("read", "unreadable", f"{uri}: has no {', '.join(missing)}")
    for name, array in arrays.items():
        expected = shapes[name]
        fits = len(expected) == array.ndim and all(
            length in (0, actual) for length, actual in zip(expected, array.shape, strict=True)
        )
        if not fits or not np.isfinite(array).all():
            raise FaceRejectedError(
                "read",
                "unreadable",
                f"{uri}: expected finite {name} {expected}, got {array.shape}",
            )
    return arrays
