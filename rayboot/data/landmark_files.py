"""Files of landmarks: points in the file's own axes, from any of the formats that tools write.

The same formats hold landmarks of photos and of scans; :mod:`rayboot.data.landmarks` interprets
them as pixels.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.io

from rayboot.data.ljson import parse_ljson
from rayboot.geometry.landmark_schemes import KNOWN_COUNTS
from rayboot.io.torch7 import read_torch7

__all__ = ["FORMATS", "PixelConvention", "parse_landmark_file"]


class PixelConvention(NamedTuple):
    """How a format writes the pixels of a photo."""

    origin: int
    """Number of the first pixel's centre, 0 or 1."""
    row_first: bool
    """Whether the row comes before the column."""


FORMATS = {
    ".t7": PixelConvention(0, row_first=False),
    # The annotations of 300-W are of MATLAB: points that are clipped to a photo of 640 px are
    # at 640, and Menpo subtracts 1 too.
    ".pts": PixelConvention(1, row_first=False),
    ".mat": PixelConvention(1, row_first=False),
    ".npy": PixelConvention(0, row_first=False),
    ".ljson": PixelConvention(0, row_first=True),
    ".json": PixelConvention(0, row_first=False),
    ".csv": PixelConvention(0, row_first=False),
    ".txt": PixelConvention(0, row_first=False),
}
"""Formats by the suffix of their files; of several files of one photo, the first is chosen."""

_MAT_KEYS = ("pt3d_68", "pts_3d", "pt2d", "pts_2d")
"""Landmarks in the files of AFLW2000-3D and 300W-LP, best first: projections of a 3D face continue
behind it, as those of LS3D-W, while 2D landmarks follow the contour."""

_TABLE_KEYS = ("3D", "2D")
"""Landmarks in the Torch7 tables of 300W-LP, best first."""

_MAX_DIMENSIONS = 4
_NO_NUMBER = ("na", "n/a", "null", "none", "-")
"""How tables write that a point was not seen, besides ``nan``."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def parse_landmark_file(payload: bytes, suffix: str) -> tuple[np.ndarray, PixelConvention]:
    """Returns the points of a landmark file.

    Args:
        payload: Content of the file: a tensor or table (``.t7``), the matrices of AFLW2000-3D and
            300W-LP (``.mat``), an array (``.npy``), JSON of Menpo (``.ljson``) or with a list of
            points anywhere (``.json``), or text with one point a line or one face a line.
        suffix: Suffix of the file name, in lower case and with the dot; one of :data:`FORMATS`.

    Returns:
        (N, D) float64 in the order of the file's axes, without a column of indices; of several
        faces, the one with the largest extent in the first two axes. And how the format writes
        pixels.

    Raises:
        Exception: The file is damaged or contains no points; parsers have no common error class.
    """
    if suffix == ".json" and _is_menpo(content := json.loads(_decode_text(payload))):
        return _to_points(parse_ljson(content)), FORMATS[".ljson"]
    parsers = {
        ".t7": _parse_t7,
        ".mat": _parse_mat,
        ".npy": _parse_npy,
        ".ljson": _parse_menpo,
        ".json": _parse_json,
    }
    points = parsers.get(suffix, _parse_text)(payload)
    return _to_points(np.asarray(points, np.float64)), FORMATS[suffix]


def _to_points(array: np.ndarray) -> np.ndarray:
    """Returns points as rows: of the largest face, without a column of indices."""
    if array.ndim == 3:
        with np.errstate(invalid="ignore"):
            faces = [_to_points(face) for face in array]
            extents = [np.nan_to_num(np.ptp(face[:, :2], axis=0)).prod() for face in faces]
        return faces[int(np.argmax(extents))]
    if array.ndim == 2 and len(array) <= _MAX_DIMENSIONS and array.shape[1] in KNOWN_COUNTS:
        array = array.T
    if array.ndim == 2 and array.shape[1] > 2 and _counts_up(array[:, 0]):
        return array[:, 1:]
    return array


def _counts_up(column: np.ndarray) -> bool:
    """Whether values are the numbers of points, from 0 or 1."""
    return len(column) > 2 and column[0] in (0, 1) and bool((np.diff(column) == 1).all())


def _parse_t7(payload: bytes) -> np.ndarray:
    value = read_torch7(payload)
    if isinstance(value, dict):
        value = next((value[key] for key in _TABLE_KEYS if key in value), value)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"expected a tensor, got a {type(value).__name__}")
    return value.astype(np.float64)


def _parse_mat(payload: bytes) -> np.ndarray:
    if payload.startswith(b"MATLAB 7.3"):
        raise ValueError("it is of MATLAB 7.3 (HDF5); save it with '-v7'")
    content = scipy.io.loadmat(io.BytesIO(payload))
    found = {key: np.asarray(content[key], np.float64) for key in _MAT_KEYS if key in content}
    if not found:
        names = [name for name in content if not name.startswith("__")]
        raise ValueError(f"expected one of {', '.join(_MAT_KEYS)}, got {', '.join(names)}")
    known = [value for value in found.values() if set(value.shape) & set(KNOWN_COUNTS)]
    return (known or list(found.values()))[0]


def _parse_npy(payload: bytes) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(payload), allow_pickle=False), np.float64)


def _decode_text(payload: bytes) -> str:
    """Returns the text of a file; Windows writes UTF-16 and marks of the byte order."""
    if payload[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return payload.decode("utf-16")
    return payload.decode("utf-8-sig")


def _is_menpo(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and "version" in content
        and ("groups" in content or "landmarks" in content)
    )


def _parse_menpo(payload: bytes) -> np.ndarray:
    return parse_ljson(json.loads(_decode_text(payload)))


def _parse_json(payload: bytes) -> np.ndarray:
    found = next(_find_points(json.loads(_decode_text(payload))), None)
    if found is None:
        counts = ", ".join(map(str, KNOWN_COUNTS))
        raise ValueError(f"expected a list of {counts} points, found none")
    return found


def _find_points(value: Any) -> Iterator[np.ndarray]:
    """Yields the arrays of points in a JSON value, depth first."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _find_points(part)
    elif isinstance(value, list):
        points = _list_to_points(value)
        if points is not None:
            yield points
        else:
            for part in value:
                yield from _find_points(part)


def _list_to_points(values: list[Any]) -> np.ndarray | None:
    """Returns points (N, D), or several faces of them; None for any other list."""
    if all(isinstance(value, dict) and "x" in value and "y" in value for value in values):
        values = [[value["x"], value["y"]] for value in values]
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        return None
    if array.ndim == 1:
        return _unroll(array[None])
    if array.ndim in (2, 3) and 2 <= array.shape[-1] <= _MAX_DIMENSIONS:
        return array if array.shape[-2] in KNOWN_COUNTS else None
    return _unroll(array) if array.ndim == 2 else None


def _unroll(rows: np.ndarray) -> np.ndarray | None:
    """Returns faces (F, N, 2) whose rows (F, 2 N) are x and y in turn; None for other lengths."""
    return rows.reshape(len(rows), -1, 2) if rows.shape[1] / 2 in KNOWN_COUNTS else None


def _parse_text(payload: bytes) -> np.ndarray:
    rows = _split_rows(_decode_text(payload))
    if not rows:
        raise ValueError("expected points, got no line of numbers")
    header: Sequence[str] = ()
    if len(rows) > 1 and all(_number(cell) is None for cell in rows[0]):
        header, rows = [cell.lower() for cell in rows[0]], rows[1:]
    columns = list(zip(*rows, strict=True))
    named = dict(zip(header, columns, strict=False))
    if "x_0" in named:  # OpenFace: one line a face
        return np.array(
            [[named[f"{axis}_{number}"] for axis in "xy"] for number in range(68)], np.float64
        ).transpose(2, 0, 1)
    if "x" in named and "y" in named:
        return np.array([named[axis] for axis in "xyz" if axis in named], np.float64).T
    # Names of files or of points may come first or last.
    numeric = [column for column in columns if all(_number(cell) is not None for cell in column)]
    # A column of names may be "none" or "-" throughout.
    seen = [column for column in numeric if any(cell.lower() != "nan" for cell in column)]
    numeric = seen if len(seen) > 1 else numeric
    if not numeric:
        raise ValueError("expected points, got no column of numbers")
    table = np.array(numeric, np.float64).T
    faces = _unroll(table) if table.ndim == 2 else None
    return table if faces is None else faces


def _split_rows(text: str) -> list[list[str]]:
    """Returns the cells without quotes, and ``nan`` for what tools write in place of a number."""
    rows = [[cell.strip("\"'") for cell in row] for row in _split_cells(text)]
    return [["nan" if cell.lower() in _NO_NUMBER else cell for cell in row] for row in rows]


def _split_cells(text: str) -> list[list[str]]:
    """Returns the cells of each line that is no comment and no part of a ``.pts`` header."""
    lines = [line.strip() for line in _separate_brackets(text).splitlines()]
    lines = [line for line in lines if line not in ("", "{", "}") and line[0] != "#"]
    lines = [line for line in lines if ":" not in line.split()[0]]
    if any(";" in line for line in lines):
        return [[cell.strip() for cell in line.replace(",", ".").split(";")] for line in lines]
    by_space = [line.split() for line in lines]
    if all(len(row) > 1 and all(map(_DECIMAL_COMMA.fullmatch, row)) for row in by_space):
        return [[cell.replace(",", ".") for cell in row] for row in by_space]
    return [re.split(r"\s*,\s*|\s+", line.rstrip(",")) for line in lines]


def _separate_brackets(text: str) -> str:
    """Returns the text of a printed list or array without its brackets, one point a line."""
    if not re.match(r"\s*(array\s*)?[\[(]", text):
        return text
    points = re.sub(r"[])]\s*,?\s*", "\n", text)
    return re.sub(r"[\[(]|array", " ", points)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
