"""Meshes as GLB, the binary file of glTF 2.0, with the colours that a viewer shows unchanged.

glTF wants linear vertex colours, while those of a photo are sRGB; 16 bits keep dark shades apart.
The colours contain the light of the photo, so that viewers that know unlit materials show them as
they are; for the others the material is rough and not metallic, where glTF's default is a metal.
"""

import json

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["encode_glb", "linear_from_srgb"]

_MAGIC, _VERSION = b"glTF", 2
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_VERTICES, _INDICES = 34962, 34963
"""Targets of buffer views: attributes of vertices, indices of triangles."""

_UNLIT = "KHR_materials_unlit"
_MATTE = {"metallicFactor": 0.0, "roughnessFactor": 1.0}


def encode_glb(mesh: Mesh) -> bytes:
    """Encodes a mesh, with the colours of its vertices where it has any."""
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
    document |= {
        "asset": {"version": "2.0", "generator": "rayboot"},
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


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    """Returns linear values in [0, 1] of sRGB colours (..., 3) uint8."""
    values = np.asarray(colors, np.float64) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + kind + content
