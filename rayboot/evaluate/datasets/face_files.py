"""Files of a single face: what is missing costs that face, what a store fails at the run."""

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
    """The bytes of a file.

    Raises:
        FaceRejectedError: stage ``read``, reason ``missing``: it is not there.
        StoreError: the store is in trouble for long.
    """
    try:
        return retry_io(lambda: read_bytes(uri), uri)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise FaceRejectedError("read", "missing", f"{uri} is not there") from error


def read_photo(uri: str) -> np.ndarray:
    """A photo, (H, W, 3) uint8 RGB.

    Raises:
        FaceRejectedError: stage ``read``: it is missing or damaged; the message names it.
    """
    try:
        return decode_photo(read_face_file(uri))
    except FaceRejectedError as error:
        if error.reason == "missing":
            raise
        raise FaceRejectedError("read", error.reason, f"{uri}: {error.message}") from error


def read_mat(uri: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arrays of a MATLAB file, float64: their types differ from file to file.

    Args:
        uri: of it.
        shapes: of the arrays that are wanted, by name; 0 is any length.

    Raises:
        FaceRejectedError: stage ``read``: the file is missing or damaged, or lacks an array of
            such a shape with finite values; the message names both.
    """
    payload = read_face_file(uri)
    try:
        values = scipy.io.loadmat(io.BytesIO(payload), variable_names=list(shapes))
        arrays = {name: np.asarray(values[name], np.float64) for name in shapes if name in values}
    except Exception as error:  # of a damaged .mat SciPy raises whatever it runs into
        raise FaceRejectedError("read", "unreadable", f"{uri}: {error}") from error
    missing = sorted(shapes.keys() - arrays.keys())
    if missing:
        raise FaceRejectedError("read", "unreadable", f"{uri}: has no {', '.join(missing)}")
    for name, array in arrays.items():
        wanted = shapes[name]
        fits = len(wanted) == array.ndim and all(
            length in (0, found) for length, found in zip(wanted, array.shape, strict=True)
        )
        if not fits or not np.isfinite(array).all():
            raise FaceRejectedError(
                "read",
                "unreadable",
                f"{uri}: expected finite {name} {wanted}, got {array.shape}",
            )
    return arrays
