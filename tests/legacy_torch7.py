"""Torch7 files as a 32-bit machine wrote them before the format had versions.

Longs have 4 bytes and class names have no version before them. The bytes are packed here,
so that the reader is not tested only against our own writer.
"""

import struct
from typing import Any

import numpy as np

from rayboot.io.torch7 import TorchObject

__all__ = ["legacy_torch7"]

_NAMES = {"float32": "Float", "float64": "Double", "int64": "Long", "uint8": "Byte"}


def legacy_torch7(value: Any, counter: list[int] | None = None) -> bytes:
    """Returns a file that contains arrays, dicts, objects, numbers and strings."""
    counter = counter if counter is not None else [0]
    if isinstance(value, float | int):
        return struct.pack("<id", 1, value)
    if isinstance(value, str):
        return struct.pack("<i", 2) + _string(value)
    counter[0] += 1
    index = counter[0]
    if isinstance(value, dict):
        nested = [legacy_torch7(part, counter) for entry in value.items() for part in entry]
        return struct.pack("<iii", 3, index, len(value)) + b"".join(nested)
    if isinstance(value, TorchObject):
        head = struct.pack("<ii", 4, index) + _string(value.class_name)
        return head + legacy_torch7(value.fields, counter)
    counter[0] += 1
    name = _NAMES[value.dtype.name]
    elements = value.astype("<i4") if name == "Long" else value
    strides = [int(np.prod(value.shape[axis + 1 :])) for axis in range(value.ndim)]
    return b"".join(
        [
            struct.pack("<ii", 4, index),
            _string(f"torch.{name}Tensor"),
            struct.pack(f"<i{2 * value.ndim + 1}i", value.ndim, *value.shape, *strides, 1),
            struct.pack("<ii", 4, counter[0]),
            _string(f"torch.{name}Storage"),
            struct.pack("<i", value.size),
            elements.tobytes(),
        ]
    )


def _string(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()
