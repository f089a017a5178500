"""Reading and writing of Torch7 binary files, without Torch7.

Tensors and storages become arrays, tables dicts (a Lua array is a dict with the keys 1
to n), other objects :class:`TorchObject`, numbers floats and strings str. Files are not
trusted: every size is checked against the number of remaining bytes before memory is
allocated, nesting does not use the call stack, and functions are rejected.

Source:
    ``File.lua``, ``generic/Tensor.c`` and ``generic/Storage.c`` of torch/torch7.
"""

import math
import re
import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rayboot.errors import RaybootError

__all__ = ["Torch7Error", "TorchObject", "read_torch7", "write_torch7"]

_NIL, _NUMBER, _STRING, _TABLE, _OBJECT, _BOOLEAN = range(6)
_FUNCTIONS = (6, 7, 8)
"""Types of a plain function, and of the two kinds of functions that may be recursive."""

_DTYPES: dict[str, np.dtype] = {
    "Byte": np.dtype("u1"),
    "Char": np.dtype("i1"),
    "Short": np.dtype("<i2"),
    "Int": np.dtype("<i4"),
    "Long": np.dtype("<i8"),
    "Half": np.dtype("<f2"),
    "Float": np.dtype("<f4"),
    "Double": np.dtype("<f8"),
}
_ARRAY_CLASS = re.compile(rf"torch\.({'|'.join(_DTYPES)})(Tensor|Storage)")
_MAX_DIMENSIONS = 32
_MAX_NESTING = 1000
"""Maximum depth of values within values; the released VRN-Unguided has a depth of about 50."""

_DAMAGED_REMEDY = (
    "it is truncated or damaged, or not a Torch7 binary file: download or save it again"
)


class Torch7Error(RaybootError):
    """Bytes are not a Torch7 binary file, or a value cannot be written as one."""


@dataclass(eq=False)
class TorchObject:
    """An object of a class that is neither tensor nor storage, an ``nn`` module for example."""

    class_name: str
    fields: dict[Any, Any] = field(repr=False)


def read_torch7(data: bytes | memoryview) -> Any:
    """Returns the value that a Torch7 binary file contains.

    A long has 8 bytes if the file was written on 64-bit Linux, and 4 bytes elsewhere. The
    file does not record which, but only with the right size does the data end at the end
    of the file.

    Args:
        data: content of the file.

    Returns:
        A value of the types that the module's docstring lists. Arrays are read-only,
        unaligned views of ``data``; tensors that share a storage in the file share
        memory. A tensor without elements is an array of shape (0,).

    Raises:
        Torch7Error: the bytes are not a Torch7 binary file, are truncated or damaged, or
            contain a function or a tensor that repeats its storage (``expand``).
    """
    furthest, first_error = -1, None
    for long_code in ("q", "i"):
        reader = _Reader(data, long_code)
        try:
            return reader.read_file()
        except Torch7Error as error:
            if reader.position > furthest:
                furthest, first_error = reader.position, error
    assert first_error is not None
    raise first_error


class _Reader:
    """Reads one file with one size of longs.

    Objects that were read are kept by their index in the file, for later references.
    """

    def __init__(self, data: bytes | memoryview, long_code: str) -> None:
        self._data = memoryview(data).cast("B")
        self._long_code = long_code
        self._long_bytes = struct.calcsize(f"<{long_code}")
        self._objects: dict[int, Any] = {}
        self._storages: dict[int, np.ndarray] = {}
        self.position = 0

    def read_file(self) -> Any:
        if re.match(rb"[0-8]\n", self._data[:2]):
            raise self._error(
                "a binary file", "an ASCII file", remedy="save it with torch.save(name, value)"
            )
        # A stack of generators, one for each value that is being read, replaces recursion.
        stack, value = [self._value()], None
        while stack:
            try:
                stack[-1].send(value)
            except StopIteration as done:
                stack.pop()
                value = done.value
            else:
                if len(stack) == _MAX_NESTING:
                    raise self._error("values", f"values nested over {_MAX_NESTING} deep")
                stack.append(self._value())
                value = None
        if self._num_left():
            raise self._error("the end", f"{self._num_left()} more bytes")
        return value

    def _value(self) -> Generator[None, Any, Any]:
        """Reads a value; yields to have the next value read, and receives it."""
        start = self.position
        tag = self._int("a value")
        if tag == _NIL:
            return None
        if tag == _NUMBER:
            return self._unpack("d", "a number")[0]
        if tag == _STRING:
            return self._string("a string")
        if tag == _BOOLEAN:
            flag = self._int("a boolean")
            if flag not in (0, 1):
                raise self._error("a boolean, 0 or 1", flag)
            return flag == 1
        if tag == _TABLE:
            return (yield from self._table())
        if tag == _OBJECT:
            return (yield from self._object())
        if tag in _FUNCTIONS:
            raise self._error(
                "data",
                f"a Lua function (type {tag})",
                at=start,
                remedy="functions are code and are not read: save the value without them",
            )
        raise self._error("a value of type 0 to 5", f"type {tag}", at=start)

    def _table(self) -> Generator[None, Any, dict[Any, Any]]:
        index = self._int("a table's index")
        if index in self._objects:
            known: dict[Any, Any] = self._recall(index, dict)
            return known
        count = self._int("a table's size")
        # The shortest key has 8 bytes, the shortest value 4.
        if not 0 <= count <= self._num_left() // 12:
            raise self._error(
                "a table's size", f"{count} entries with {self._num_left()} bytes left"
            )
        table: dict[Any, Any] = {}
        self._objects[index] = table
        for _ in range(count):
            start = self.position
            key = yield
            if not isinstance(key, bool | float | str):
                raise self._error("a key", f"a {type(key).__name__}", at=start)
            # Lua has one type of number; integers are indices of an array.
            if isinstance(key, float) and key.is_integer():
                key = int(key)
            if key in table:
                raise self._error("each key once", f"{key!r} again", at=start)
            table[key] = yield
        return table

    def _object(self) -> Generator[None, Any, Any]:
        index = self._int("an object's index")
        if index in self._objects:
            return self._recall(index, (np.ndarray, TorchObject))
        start = self.position
        name = self._class_name()
        match = _ARRAY_CLASS.fullmatch(name)
        if match is not None:
            kind, container = match.groups()
            value = self._tensor(kind) if container == "Tensor" else self._storage(kind, index)
            self._objects[index] = value
            return value
        if not name.startswith("torch."):
            instance = self._objects[index] = TorchObject(name, {})
            fields = yield
            if not isinstance(fields, dict):
                raise self._error(
                    f"the fields of {_quote_class(name)}", f"a {type(fields).__name__}", at=start
                )
            instance.fields = fields
            return instance
        raise self._error(
            f"a tensor or storage of {', '.join(_DTYPES)}",
            _quote_class(name),
            at=start,
            remedy="convert it on the CPU with :float() and save it again",
        )

    def _recall(self, index: int, kinds: type | tuple[type, ...]) -> Any:
        value = self._objects[index]
        if not isinstance(value, kinds):
            raise self._error("a reference of its own kind", f"number {index}, which is another")
        return value

    def _class_name(self) -> str:
        name = self._string("a class")
        # Files written before Torch7 had versions begin with the name.
        return self._string("a class") if re.fullmatch(r"V \d{1,9}", name) else name

    def _tensor(self, kind: str) -> np.ndarray:
        start = self.position
        ndim = self._int("a tensor's dimensions")
        if not 0 <= ndim <= _MAX_DIMENSIONS:
            raise self._error(f"0 to {_MAX_DIMENSIONS} dimensions", ndim)
        sizes = self._unpack(f"{ndim}{self._long_code}", "a tensor's sizes")
        steps = self._unpack(f"{ndim}{self._long_code}", "a tensor's strides")
        first = self._unpack(self._long_code, "a tensor's offset")[0] - 1
        storage = self._storage_of_tensor(kind)
        if ndim == 0:
            return np.empty(0, _DTYPES[kind])
        layout = f"sizes {sizes}, strides {steps}, offset {first + 1}"
        if storage is None or min(sizes) < 0 or min(steps) < 0 or first < 0:
            raise self._error(
                "sizes and strides over a storage",
                layout + (" and no storage" if storage is None else ""),
                at=start,
            )
        if 0 in sizes:
            return np.empty(0, storage.dtype)
        last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if last >= storage.size:
            raise self._error(f"a tensor within its storage of {storage.size}", layout, at=start)
        if math.prod(sizes) > storage.size:
            # Otherwise a few bytes of a file could allocate any amount of memory.
            raise self._error(
                f"no more elements than the storage's {storage.size}",
                layout,
                at=start,
                remedy="save a :clone() of an expanded tensor",
            )
        width = storage.itemsize
        # The stride of a dimension of size 1 is arbitrary, and could overflow in NumPy.
        strides = [
            step * width if size > 1 else width for size, step in zip(sizes, steps, strict=True)
        ]
        return np.ndarray(sizes, storage.dtype, storage, first * width, strides)

    def _storage_of_tensor(self, kind: str) -> np.ndarray | None:
        start = self.position
        expected = f"torch.{kind}Storage"
        tag = self._int("a tensor's storage")
        if tag == _NIL:
            return None
        if tag != _OBJECT:
            raise self._error(expected, f"a value of type {tag}", at=start)
        index = self._int("a storage's index")
        if index not in self._objects:
            name = self._class_name()
            if name != expected:
                raise self._error(expected, _quote_class(name), at=start)
            self._objects[index] = self._storage(kind, index)
        storage = self._storages.get(index)
        if storage is None or storage.dtype != _DTYPES[kind]:
            raise self._error(expected, f"number {index}, which is another", at=start)
        return storage

    def _storage(self, kind: str, index: int) -> np.ndarray:
        count = self._unpack(self._long_code, "a storage's size")[0]
        dtype = _DTYPES[kind]
        stored: np.dtype = np.dtype(f"<i{self._long_bytes}") if kind == "Long" else dtype
        if not 0 <= count <= self._num_left() // stored.itemsize:
            raise self._error(
                f"a torch.{kind}Storage", f"{count} elements with {self._num_left()} bytes left"
            )
        start = self._skip(count * stored.itemsize, "elements")
        values = np.frombuffer(self._data, stored, count, start)
        # Longs of 4 bytes are widened here, once for all tensors that share the storage.
        self._storages[index] = values.astype(dtype, copy=False)
        return self._storages[index]

    def _string(self, expected: str) -> str:
        size = self._int(f"the length of {expected}")
        if not 0 <= size <= self._num_left():
            raise self._error(expected, f"one of {size} bytes with {self._num_left()} left")
        start = self._skip(size, expected)
        # Lua strings are bytes; those that are not UTF-8 are also written back unchanged.
        return str(self._data[start : start + size], "utf-8", "surrogateescape")

    def _int(self, expected: str) -> int:
        value: int = self._unpack("i", expected)[0]
        return value

    def _unpack(self, code: str, expected: str) -> tuple[Any, ...]:
        return struct.unpack_from(
            f"<{code}", self._data, self._skip(struct.calcsize(f"<{code}"), expected)
        )

    def _skip(self, count: int, expected: str) -> int:
        if count > self._num_left():
            raise self._error(expected, f"{self._num_left()} bytes of {count}, then the end")
        self.position += count
        return self.position - count

    def _num_left(self) -> int:
        return len(self._data) - self.position

    def _error(
        self, expected: str, got: object, *, at: int | None = None, remedy: str = _DAMAGED_REMEDY
    ) -> Torch7Error:
        byte = self.position if at is None else at
        return Torch7Error(f"Torch7 file: expected {expected} at byte {byte}, got {got}; {remedy}")


def _quote_class(name: str) -> str:
    return f"class {name[:60]!r}"


def write_torch7(value: Any) -> bytes:
    """Returns a Torch7 binary file, as Torch7 writes it on 64-bit Linux.

    Args:
        value: an array, :class:`TorchObject`, dict, list (it is read back as a dict with
            keys from 1), str, bool, number or None, nested to any depth. An object that
            occurs twice is written once; every array has its own storage.

    Raises:
        Torch7Error: Torch7 has no equivalent of a value, or of the dtype or shape of an
            array.
    """
    writer = _Writer()
    pending = [value]
    while pending:
        pending.extend(reversed(writer.write(pending.pop())))
    return b"".join(writer.chunks)


class _Writer:
    """Writes one file; an object that was written before is written as its index."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._indices: dict[int, int] = {}
        self._count = 0

    def write(self, value: Any) -> list[Any]:
        """Writes a value without the values in it, which are returned to be written next."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None:
            self._pack("i", _NIL)
        elif isinstance(value, bool):
            self._pack("ii", _BOOLEAN, value)
        elif isinstance(value, int | float):
            if isinstance(value, int) and abs(value) > 2**53:
                raise Torch7Error(
                    f"expected a number that a Torch7 double can represent, got {value}"
                )
            self._pack("id", _NUMBER, value)
        elif isinstance(value, str):
            self._pack("i", _STRING)
            self._string(value)
        elif isinstance(value, np.ndarray | TorchObject | dict | list):
            return self._object(value)
        else:
            raise Torch7Error(
                "expected an array, TorchObject, dict, list, str, bool, number or None for a "
                f"Torch7 file, got {type(value).__name__}"
            )
        return []

    def _object(self, value: np.ndarray | TorchObject | dict[Any, Any] | list[Any]) -> list[Any]:
        self._pack("i", _TABLE if isinstance(value, dict | list) else _OBJECT)
        is_written = id(value) in self._indices
        index = self._indices[id(value)] if is_written else self._next_index()
        self._indices[id(value)] = index
        self._pack("i", index)
        if is_written:
            return []
        if isinstance(value, np.ndarray):
            self._tensor(value)
            return []
        if isinstance(value, TorchObject):
            self._string("V 1")
            self._string(value.class_name)
            return [value.fields]
        entries = value.items() if isinstance(value, dict) else enumerate(value, start=1)
        self._pack("i", len(value))
        nested = [part for entry in entries for part in entry]
        for key in nested[::2]:
            if not isinstance(key, bool | int | float | str):
                raise Torch7Error(
                    "expected a str, bool or number as key of a Torch7 table, got "
                    f"{type(key).__name__}"
                )
        return nested

    def _tensor(self, array: np.ndarray) -> None:
        dtype = array.dtype.newbyteorder("<")
        kind = next((name for name, stored in _DTYPES.items() if stored == dtype), None)
        if kind is None or array.ndim == 0 or (array.size == 0 and array.ndim > 1):
            raise Torch7Error(
                "expected an array with one dimension or more, none of them empty, of a Torch7 "
                f"type ({', '.join(_DTYPES)}); got {array.dtype} {array.shape}"
            )
        self._string("V 1")
        self._string(f"torch.{kind}Tensor")
        if array.size == 0:
            self._pack("iqi", 0, 1, _NIL)
            return
        contiguous = np.ascontiguousarray(array, dtype)
        ndim, shape = contiguous.ndim, contiguous.shape
        # NumPy's strides are arbitrary for a dimension of size 1.
        steps = [math.prod(shape[axis + 1 :]) for axis in range(ndim)]
        self._pack(f"i{2 * ndim}qq", ndim, *shape, *steps, 1)
        self._pack("ii", _OBJECT, self._next_index())
        self._string("V 1")
        self._string(f"torch.{kind}Storage")
        self._pack("q", contiguous.size)
        self.chunks.append(contiguous.tobytes())

    def _next_index(self) -> int:
        self._count += 1
        return self._count

    def _string(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogateescape")
        self._pack("i", len(encoded))
        self.chunks.append(encoded)

    def _pack(self, code: str, *values: float) -> None:
        self.chunks.append(struct.pack(f"<{code}", *values))
