"""PLY files: points or polygons, as text or binary of either byte order."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rayboot.data.polygons import split_polygons, split_strips

__all__ = ["PlyMesh", "parse_ply"]

_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_INDEX_NAMES = ("vertex_indices", "vertex_index")
_COLOR_NAMES = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)


class PlyMesh(NamedTuple):
    """Content of a PLY file.

    Attributes:
        vertices: (N, 3) float64.
        faces: (F, 3) int64; polygons and strips are split into triangles.
        colors: (N, 3) uint8 sRGB, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None


class _Property(NamedTuple):
    name: str
    dtype: str
    count_dtype: str | None
    """Type of a list's length; None for a number."""


class _Element(NamedTuple):
    name: str
    num_rows: int
    properties: list[_Property]


def parse_ply(payload: bytes) -> PlyMesh:
    """Parses a PLY file from an untrusted source.

    Args:
        payload: Content of the file.

    Raises:
        ValueError, LookupError, TypeError: The file is damaged, or no PLY.
    """
    header, byte_order, start = _parse_header(payload)
    reader = _Text(payload[start:]) if byte_order == "" else _Binary(payload, start, byte_order)
    columns: dict[str, dict[str, np.ndarray | list[np.ndarray]]] = {}
    for element in header:
        columns[element.name] = reader.read(element)
    vertex = columns["vertex"]
    vertices = np.column_stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"])
    faces = split_polygons(_indices(columns, "face"))
    strips = split_strips(_indices(columns, "tristrips"))
    return PlyMesh(vertices, np.concatenate([faces, strips]), _colors(vertex))


def _indices(
    columns: dict[str, dict[str, np.ndarray | list[np.ndarray]]], element: str
) -> np.ndarray | list[np.ndarray]:
    """Returns the polygons or strips of an element, none where the file has no such element."""
    lists = columns.get(element)
    if lists is None:
        return []
    for name in _INDEX_NAMES:
        if name in lists:
            return lists[name]
    raise ValueError(f"element {element} has no list vertex_indices, only {', '.join(lists)}")


def _colors(vertex: dict[str, np.ndarray | list[np.ndarray]]) -> np.ndarray | None:
    for names in _COLOR_NAMES:
        if all(name in vertex for name in names):
            values = np.column_stack([np.asarray(vertex[name]) for name in names])
            if values.dtype.kind == "f":
                values = np.rint(255 * values)
            return np.asarray(np.clip(values, 0, 255), np.uint8)
    return None


def _parse_header(payload: bytes) -> tuple[list[_Element], str, int]:
    """Returns the elements, the byte order (empty for text) and the offset of the data."""
    end = payload.find(b"end_header")
    if not payload.startswith(b"ply") or end < 0:
        raise ValueError("expected a header from `ply` to `end_header`")
    start = payload.index(b"\n", end) + 1
    elements: list[_Element] = []
    byte_order = None
    for line in payload[:end].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            byte_order = _BYTE_ORDERS[words[1]]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:
            elements[-1].properties.append(
                _Property(words[4].lower(), _TYPES[words[3]], _TYPES[words[2]])
            )
        elif words[:1] == ["property"]:
            elements[-1].properties.append(_Property(words[2].lower(), _TYPES[words[1]], None))
    if byte_order is None:
        raise ValueError("the header names no format")
    return elements, byte_order, start


class _Text:
    """Reads elements from numbers in text."""

    def __init__(self, text: bytes) -> None:
        self._words, self._position = text.split(), 0

    def read(self, element: _Element) -> dict[str, np.ndarray | list[np.ndarray]]:
        names = [prop.name for prop in element.properties]
        if all(prop.count_dtype is None for prop in element.properties):
            values = self._take(element.num_rows * len(names)).reshape(-1, len(names))
            # Colours of 255 stay whole numbers, and are told from those of 1.0 by their type.
            return {
                prop.name: column.astype(prop.dtype)
                for prop, column in zip(element.properties, values.T, strict=True)
            }
        rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for _ in range(element.num_rows):
            for prop in element.properties:
                count = 1 if prop.count_dtype is None else int(self._take(1)[0])
                rows[prop.name].append(self._take(count))
        return {**rows}

    def _take(self, count: int) -> np.ndarray:
        words = self._words[self._position : self._position + count]
        if len(words) != count or count < 0:
            raise ValueError("the file ends within an element")
        self._position += count
        return np.array(words).astype(np.float64) if words else np.empty(0)


class _Binary:
    """Reads elements from binary rows."""

    def __init__(self, payload: bytes, start: int, byte_order: str) -> None:
        self._payload, self._position, self._order = payload, start, byte_order

    def read(self, element: _Element) -> dict[str, np.ndarray | list[np.ndarray]]:
        if element.num_rows == 0:
            return {prop.name: np.empty(0) for prop in element.properties}
        equal = self._read_equal_rows(element)
        if equal is not None:
            return {**equal}
        rows: dict[str, list[np.ndarray]] = {prop.name: [] for prop in element.properties}
        for _ in range(element.num_rows):
            for prop, values in self._read_row(element):
                rows[prop.name].append(values)
        return {**rows}

    def _read_equal_rows(self, element: _Element) -> dict[str, np.ndarray] | None:
        """Returns the columns at once where lists are as long in all rows as in the first one."""
        start = self._position
        first = list(self._read_row(element))
        self._position = start
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for prop, values in first:
            if prop.count_dtype is None:
                fields.append((prop.name, self._order + prop.dtype))
            else:
                fields.append((f"{prop.name} count", self._order + prop.count_dtype))
                fields.append((prop.name, self._order + prop.dtype, (len(values),)))
        dtype = np.dtype(fields)
        if len(self._payload) - start < element.num_rows * dtype.itemsize:
            return None
        rows = np.frombuffer(self._payload, dtype, element.num_rows, start)
        for prop, values in first:
            if prop.count_dtype is not None and (rows[f"{prop.name} count"] != len(values)).any():
                return None
        self._position = start + rows.nbytes
        return {prop.name: rows[prop.name] for prop in element.properties}

    def _read_row(self, element: _Element) -> Iterator[tuple[_Property, np.ndarray]]:
        for prop in element.properties:
            count = 1
            if prop.count_dtype is not None:
                count = int(self._take(prop.count_dtype, 1)[0])
            yield prop, self._take(prop.dtype, count)

    def _take(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self._payload, self._order + dtype, max(count, 0), self._position)
        self._position += values.nbytes
        return values
