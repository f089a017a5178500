"""Meshes as GLB, the binary file of glTF 2.0, with the colours that a viewer shows unchanged.

glTF wants linear vertex colours, while those of a photo are sRGB; 16 bits keep dark shades apart.
The colours contain the light of the photo, so that viewers that know unlit materials show them as
they are; for the others the material is rough and not metallic, where glTF's default is a metal.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import MeshUnit

__all__ = ["encode_glb", "linear_from_srgb", "require_plain_glb", "srgb_from_linear"]

_MAGIC, _VERSION = b"glTF", 2
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_VERTICES, _INDICES = 34962, 34963
"""Targets of buffer views: attributes of vertices, indices of triangles."""

_TRIANGLES = 4
_READ_MODES = (0, _TRIANGLES, 5)
"""Modes of primitives that trimesh reads: points, triangles, strips."""

_COMPRESSION = {
    "KHR_draco_mesh_compression",
    "EXT_meshopt_compression",
    "KHR_meshopt_compression",
}

_UNLIT = "KHR_materials_unlit"
_MATTE = {"metallicFactor": 0.0, "roughnessFactor": 1.0}


def encode_glb(mesh: Mesh, unit: MeshUnit | None = None) -> bytes:
    """Encodes a mesh, with the colours of its vertices where it has any.

    Args:
        mesh: the mesh.
        unit: unit of its vertices, stored in ``asset.extras``: glTF's metres are often ignored.
    """
    positions = np.ascontiguousarray(mesh.vertices, "<f4")
    indices = np.ascontiguousarray(mesh.faces, "<u4").ravel()
    extent = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    parts = [positions.tobytes(), indices.tobytes()]
    targets = [_VERTICES, _INDICES]
    accessors = [
        {"componentType": _FLOAT, "type": "VEC3", "count": len(positions), **extent},
        {"componentType": _UNSIGNED_INT, "type": "SCALAR", "count": len(indices)},
    ]
    attributes = {"POSITION": 0}
    material: dict[str, object] = {"pbrMetallicRoughness": _MATTE, "doubleSided": True}
    document: dict[str, object] = {}
    if mesh.colors is not None:
        colors = np.full((len(positions), 4), 65535, "<u2")
        colors[:, :3] = np.rint(linear_from_srgb(mesh.colors) * 65535)
        parts.append(colors.tobytes())
        targets.append(_VERTICES)
        accessors.append(
            {
                "componentType": _UNSIGNED_SHORT,
                "normalized": True,
                "type": "VEC4",
                "count": len(colors),
            }
        )
        attributes["COLOR_0"] = 2
        material["extensions"] = {_UNLIT: {}}
        document["extensionsUsed"] = [_UNLIT]
    # Every part is a multiple of 4 bytes long, so that the next one is aligned.
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    primitive = {"attributes": attributes, "indices": 1, "material": 0}
    asset: dict[str, object] = {"version": "2.0", "generator": "rayboot"}
    if unit is not None:
        asset["extras"] = {"unit": unit}
    document |= {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "accessors": [{"bufferView": view, **part} for view, part in enumerate(accessors)],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": target}
            for start, part, target in zip(starts, parts, targets, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join(parts)
    chunks = _chunk(b"JSON", text) + _chunk(b"BIN\0", body)
    length = 12 + len(chunks)
    return _MAGIC + _VERSION.to_bytes(4, "little") + length.to_bytes(4, "little") + chunks


def require_plain_glb(payload: bytes) -> None:
    """Refuses a GLB with geometry in a form that is not read, instead of reading part of it.

    Args:
        payload: Content of the file.

    Raises:
        ShapeError: The geometry is compressed, sparse, normalised or in another file, named in the
            message.
        ValueError, LookupError, TypeError: The file is damaged, or no GLB.
    """
    if payload[:4] != _MAGIC:
        raise ValueError("expected a file that begins with glTF")
    length = int.from_bytes(payload[12:16], "little")
    document = json.loads(payload[20 : 20 + length])
    for buffer in document.get("buffers", ()):
        if not str(buffer.get("uri", "data:")).startswith("data:"):
            raise _refuse(f"buffers in another file, {buffer['uri']}", "embed them")
    accessors = document.get("accessors", ())
    for mesh in document.get("meshes", ()):
        for primitive in mesh["primitives"]:
            _require_plain_primitive(primitive, accessors, document.get("bufferViews", ()))


def _require_plain_primitive(
    primitive: dict[str, Any], accessors: Sequence[dict[str, Any]], views: Sequence[dict[str, Any]]
) -> None:
    compressed = sorted(set(primitive.get("extensions", ())) & _COMPRESSION)
    if compressed:
        raise _refuse(f"compressed geometry ({compressed[0]})", "export it without compression")
    if primitive.get("mode", _TRIANGLES) not in _READ_MODES:
        raise _refuse(f"primitives of mode {primitive['mode']}", "export it as triangles")
    used = (primitive["attributes"].get("POSITION"), primitive.get("indices"))
    for accessor in (accessors[index] for index in used if index is not None):
        if "sparse" in accessor:
            raise _refuse("sparse accessors", "export it without them")
        if accessor.get("normalized") and accessor["componentType"] != _FLOAT:
            raise _refuse("normalised integers as positions", "export it without quantisation")
        if "bufferView" not in accessor:
            raise _refuse("geometry without data", "export it without compression")
        packed = sorted(set(views[accessor["bufferView"]].get("extensions", ())) & _COMPRESSION)
        if packed:
            raise _refuse(f"compressed geometry ({packed[0]})", "export it without compression")


def _refuse(content: str, remedy: str) -> ShapeError:
    return ShapeError(f"the .glb file has {content}, which rayboot does not read; {remedy}")


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """Returns linear values in [0, 1] of sRGB colours (..., 3) uint8."""
    values = np.asarray(colors, np.float64) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(values: np.ndarray) -> np.ndarray:
    """Returns sRGB values in [0, 1] of linear ones in [0, 1]."""
    values = np.asarray(values, np.float64)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + kind + content
