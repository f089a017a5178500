"""Torch7's binary files, read and written without Torch7.

In Python, tensors and storages are arrays, tables are dicts (an array of Lua is one
with the keys 1 to n), other objects :class:`TorchObject`, numbers floats and strings
str. Nothing of a file is trusted: every size is checked against the bytes that are
left before anything is allocated, nesting costs no stack, and functions are refused.

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
"""A plain function and the two kinds that may refer to themselves."""

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
"""Values within values; the released VRN-Unguided nests some 50 deep."""

_DAMAGED = "it is cut short or damaged, or no Torch7 binary file: fetch or save it again"


class Torch7Error(RaybootError):
    """Bytes are not a Torch7 binary file, or a value cannot be written as one."""


@dataclass(eq=False)
class TorchObject:
    """An object of a class that is neither tensor nor storage, an ``nn`` module say."""

    class_name: str
    fields: dict = field(repr=False)


def read_torch7(data: bytes | memoryview) -> Any:
    """The value that a Torch7 binary file holds.

    A long has 8 bytes where the file was written on 64-bit Linux, and 4 elsewhere. The
    file does not tell, but only one of the two readings ends where the file does.

    Args:
        data: the whole file.

    Returns:
        A value as the module's docstring says. Arrays are read-only views of ``data``
        and not aligned; those that share a storage in the file share memory. A
        tensor without elements is an array of shape (0,).

    Raises:
        Torch7Error: the bytes are something else, cut short or damaged, or hold a
            function or a tensor that repeats its storage (``expand``).
    """
    furthest, fault = -1, None
    for long_code in ("q", "i"):
        reader = _Reader(data, long_code)
        try:
            return reader.read_file()
        except Torch7Error as error:
            if reader.position > furthest:
                furthest, fault = reader.position, error
    assert fault is not None
    raise fault


class _Reader:
    def __init__(self, data: bytes | memoryview, long_code: str) -> None:
        self._data = memoryview(data).cast("B")
        self._long_code = long_code
        self._long_bytes = struct.calcsize(f"<{long_code}")
        self._known: dict[int, Any] = {}
        self._storages: dict[int, np.ndarray] = {}
        self.position = 0

    def read_file(self) -> Any:
        if re.match(rb"[0-8]\n", self._data[:2]):
            raise self._fault(
                "a binary file", "an ASCII one", remedy="save it with torch.save(name, value)"
            )
        # A generator for each value being read, the outermost first, in place of recursion.
        waiting, value = [self._value()], None
        while waiting:
            try:
                waiting[-1].send(value)
            except StopIteration as done:
                waiting.pop()
                value = done.value
            else:
                if len(waiting) == _MAX_NESTING:
                    raise self._fault("values", f"values nested over {_MAX_NESTING} deep")
                waiting.append(self._value())
                value = None
        if self._left():
            raise self._fault("the end", f"{self._left()} more bytes")
        return value

    def _value(self) -> Generator[None, Any, Any]:
        """Reads a value; yields where it wants the next one read, and is sent it."""
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
                raise self._fault("a boolean, 0 or 1", flag)
            return flag == 1
        if tag == _TABLE:
            return (yield from self._table())
        if tag == _OBJECT:
            return (yield from self._object())
        if tag in _FUNCTIONS:
            raise self._fault(
                "data",
                f"a Lua function (type {tag})",
                at=start,
                remedy="functions are code and are not read: save the value without them",
            )
        raise self._fault("a value of type 0 to 5", f"type {tag}", at=start)

    def _table(self) -> Generator[None, Any, dict]:
        index = self._int("a table's index")
        if index in self._known:
            return self._recall(index, dict)
        count = self._int("a table's size")
        # The shortest key takes 8 bytes, the shortest value 4.
        if not 0 <= count <= self._left() // 12:
            raise self._fault("a table's size", f"{count} entries with {self._left()} bytes left")
        table = self._known[index] = {}
        for _ in range(count):
            start = self.position
            key = yield
            if not isinstance(key, bool | float | str):
                raise self._fault("a key", f"a {type(key).__name__}", at=start)
            # Lua knows one kind of number; whole ones are positions in an array.
            if isinstance(key, float) and key.is_integer():
                key = int(key)
            if key in table:
                raise self._fault("each key once", f"{key!r} again", at=start)
            table[key] = yield
        return table

    def _object(self) -> Generator[None, Any, Any]:
        index = self._int("an object's index")
        if index in self._known:
            return self._recall(index, (np.ndarray, TorchObject))
        start = self.position
        name = self._class_name()
        array = _ARRAY_CLASS.fullmatch(name)
        if array is not None:
            kind, shape = array.groups()
            value = self._tensor(kind) if shape == "Tensor" else self._storage(kind, index)
            self._known[index] = value
            return value
        if not name.startswith("torch."):
            found = self._known[index] = TorchObject(name, {})
            fields = yield
            if not isinstance(fields, dict):
                raise self._fault(
                    f"the fields of {_shown(name)}", f"a {type(fields).__name__}", at=start
                )
            found.fields = fields
            return found
        raise self._fault(
            f"a tensor or storage of {', '.join(_DTYPES)}",
            _shown(name),
            at=start,
            remedy="convert it on the CPU with :float() and save it again",
        )

    def _recall(self, index: int, kinds: type | tuple[type, ...]) -> Any:
        value = self._known[index]
        if not isinstance(value, kinds):
            raise self._fault("a reference of its own kind", f"number {index}, which is another")
        return value

    def _class_name(self) -> str:
        name = self._string("a class")
        # Files from before Torch7 had versions go straight to the name.
        return self._string("a class") if re.fullmatch(r"V \d{1,9}", name) else name

    def _tensor(self, kind: str) -> np.ndarray:
        start = self.position
        ndim = self._int("a tensor's dimensions")
        if not 0 <= ndim <= _MAX_DIMENSIONS:
            raise self._fault(f"0 to {_MAX_DIMENSIONS} dimensions", ndim)
        sizes = self._unpack(f"{ndim}{self._long_code}", "a tensor's sizes")
        steps = self._unpack(f"{ndim}{self._long_code}", "a tensor's strides")
        first = self._unpack(self._long_code, "a tensor's offset")[0] - 1
        storage = self._storage_of_tensor(kind)
        if ndim == 0:
            return np.empty(0, _DTYPES[kind])
        told = f"sizes {sizes}, strides {steps}, offset {first + 1}"
        if storage is None or min(sizes) < 0 or min(steps) < 0 or first < 0:
            raise self._fault(
                "sizes and strides over a storage",
                told + (" and no storage" if storage is None else ""),
                at=start,
            )
        if 0 in sizes:
            return np.empty(0, storage.dtype)
        last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        if last >= storage.size:
            raise self._fault(f"a tensor within its storage of {storage.size}", told, at=start)
        if math.prod(sizes) > storage.size:
            # A few bytes would otherwise stand for any amount of memory.
            raise self._fault(
                f"no more elements than the storage's {storage.size}",
                told,
                at=start,
                remedy="save a :clone() of an expanded tensor",
            )
        width = storage.itemsize
        # The stride of a single element can be anything, and NumPy would overflow.
        strides = [
            step * width if size > 1 else width for size, step in zip(sizes, steps, strict=True)
        ]
        return np.ndarray(sizes, storage.dtype, storage, first * width, strides)

    def _storage_of_tensor(self, kind: str) -> np.ndarray | None:
        start = self.position
        wanted = f"torch.{kind}Storage"
        tag = self._int("a tensor's storage")
        if tag == _NIL:
            return None
        if tag != _OBJECT:
            raise self._fault(wanted, f"a value of type {tag}", at=start)
        index = self._int("a storage's index")
        if index not in self._known:
            name = self._class_name()
            if name != wanted:
                raise self._fault(wanted, _shown(name), at=start)
            self._known[index] = self._storage(kind, index)
        storage = self._storages.get(index)
        if storage is None or storage.dtype != _DTYPES[kind]:
            raise self._fault(wanted, f"number {index}, which is another", at=start)
        return storage

    def _storage(self, kind: str, index: int) -> np.ndarray:
        count = self._unpack(self._long_code, "a storage's size")[0]
        dtype = _DTYPES[kind]
        stored: np.dtype = np.dtype(f"<i{self._long_bytes}") if kind == "Long" else dtype
        if not 0 <= count <= self._left() // stored.itemsize:
            raise self._fault(
                f"a torch.{kind}Storage", f"{count} elements with {self._left()} bytes left"
            )
        start = self._skip(count * stored.itemsize, "elements")
        values = np.frombuffer(self._data, stored, count, start)
        # Shared longs of a file with short ones are widened once, here.
        self._storages[index] = values.astype(dtype, copy=False)
        return self._storages[index]

    def _string(self, wanted: str) -> str:
        size = self._int(f"the length of {wanted}")
        if not 0 <= size <= self._left():
            raise self._fault(wanted, f"one of {size} bytes with {self._left()} left")
        start = self._skip(size, wanted)
        # Lua's strings are bytes; those that are no text survive the way back, too.
        return str(self._data[start : start + size], "utf-8", "surrogateescape")

    def _int(self, wanted: str) -> int:
        return self._unpack("i", wanted)[0]

    def _unpack(self, code: str, wanted: str) -> tuple:
        return struct.unpack_from(
            f"<{code}", self._data, self._skip(struct.calcsize(f"<{code}"), wanted)
        )

    def _skip(self, count: int, wanted: str) -> int:
        if count > self._left():
            raise self._fault(wanted, f"{self._left()} bytes of {count}, then the end")
        self.position += count
        return self.position - count

    def _left(self) -> int:
        return len(self._data) - self.position

    def _fault(
        self, wanted: str, got: object, *, at: int | None = None, remedy: str = _DAMAGED
    ) -> Torch7Error:
        place = self.position if at is None else at
        return Torch7Error(f"Torch7 file: expected {wanted} at byte {place}, got {got}; {remedy}")


def _shown(name: str) -> str:
    return f"class {name[:60]!r}"


def write_torch7(value: Any) -> bytes:
    """A Torch7 binary file, as Torch7 writes it on 64-bit Linux.

    Args:
        value: an array, :class:`TorchObject`, dict, list (it is read back as a dict with
            keys from 1), str, bool, number or None, and any nesting of them. What occurs
            twice is written once; every array gets a storage of its own.

    Raises:
        Torch7Error: a value, or the dtype or shape of an array, has no like in Torch7.
    """
    writer = _Writer()
    waiting = [value]
    while waiting:
        waiting.extend(reversed(writer.write(waiting.pop())))
    return b"".join(writer.chunks)


class _Writer:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._indices: dict[int, int] = {}
        self._count = 0

    def write(self, value: Any) -> list:
        """Writes a value up to what it holds, which is returned and comes next."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None:
            self._pack("i", _NIL)
        elif isinstance(value, bool):
            self._pack("ii", _BOOLEAN, value)
        elif isinstance(value, int | float):
            if isinstance(value, int) and abs(value) > 2**53:
                raise Torch7Error(f"a number of Torch7 is a double, which cannot hold {value}")
            self._pack("id", _NUMBER, value)
        elif isinstance(value, str):
            self._pack("i", _STRING)
            self._string(value)
        elif isinstance(value, np.ndarray | TorchObject | dict | list):
            return self._shared(value)
        else:
            raise Torch7Error(
                f"cannot write a {type(value).__name__} to a Torch7 file; give an array, "
                "TorchObject, dict, list, str, bool, number or None"
            )
        return []

    def _shared(self, value: np.ndarray | TorchObject | dict | list) -> list:
        table = isinstance(value, dict | list)
        self._pack("i", _TABLE if table else _OBJECT)
        met = id(value) in self._indices
        index = self._indices[id(value)] if met else self._index()
        self._indices[id(value)] = index
        self._pack("i", index)
        if met:
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
                    f"a key of a Torch7 table is a str, bool or number, got {type(key).__name__}"
                )
        return nested

    def _tensor(self, array: np.ndarray) -> None:
        dtype = array.dtype.newbyteorder("<")
        kind = next((name for name, known in _DTYPES.items() if known == dtype), None)
        if kind is None or array.ndim == 0 or (array.size == 0 and array.ndim > 1):
            raise Torch7Error(
                f"a Torch7 tensor has one dimension or more, none of them empty, of "
                f"{', '.join(_DTYPES)}; got {array.dtype} {array.shape}"
            )
        self._string("V 1")
        self._string(f"torch.{kind}Tensor")
        if array.size == 0:
            self._pack("iqi", 0, 1, _NIL)
            return
        solid = np.ascontiguousarray(array, dtype)
        # Not NumPy's strides: those of a dimension of one element can be anything.
        steps = [math.prod(solid.shape[axis + 1 :]) for axis in range(solid.ndim)]
        self._pack(f"i{2 * solid.ndim}qq", solid.ndim, *solid.shape, *steps, 1)
        self._pack("ii", _OBJECT, self._index())
        self._string("V 1")
        self._string(f"torch.{kind}Storage")
        self._pack("q", solid.size)
        self.chunks.append(solid.tobytes())

    def _index(self) -> int:
        self._count += 1
        return self._count

    def _string(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogateescape")
        self._pack("i", len(encoded))
        self.chunks.append(encoded)

    def _pack(self, code: str, *values: float) -> None:
        self.chunks.append(struct.pack(f"<{code}", *values))
