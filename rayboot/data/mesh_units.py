"""The unit of a mesh, stored in its file: PLY has none, and glTF's metres are often ignored."""

import json
from typing import Literal

__all__ = ["MeshUnit", "with_unit"]

MeshUnit = Literal["metre", "pixel"]

_HEADER_BYTES, _CHUNK_BYTES = 12, 8


def with_unit(payload: bytes, kind: Literal["ply", "glb"], unit: MeshUnit) -> bytes:
    """Returns a mesh file that names the unit of its vertices.

    Args:
        payload: content of a file that rayboot has written.
        kind: kind of the file. In a PLY the unit is a comment, in a GLB it is in ``asset.extras``.
        unit: unit of the vertices.
    """
    if kind == "ply":
        before, element, after = payload.partition(b"\nelement ")
        return before + f"\ncomment unit {unit}".encode() + element + after
    length = int.from_bytes(payload[_HEADER_BYTES : _HEADER_BYTES + 4], "little")
    start = _HEADER_BYTES + _CHUNK_BYTES
    document = json.loads(payload[start : start + length])
    document["asset"]["extras"] = {"unit": unit}
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = payload[start + length :]
    total = start + len(text) + len(rest)
    return b"".join(
        [
            payload[:8],
            total.to_bytes(4, "little"),
            len(text).to_bytes(4, "little"),
            payload[_HEADER_BYTES + 4 : start],
            text,
            rest,
        ]
    )
