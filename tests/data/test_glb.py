import io
import json
from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from rayboot.data.glb import encode_glb, linear_from_srgb
from rayboot.data.mesh_files import decode_mesh
from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh

SHADES = np.arange(256, dtype=np.uint8)
MESH = Mesh(
    np.random.default_rng(0).normal(0, 40, (256, 3)).astype(np.float32),
    np.arange(255, dtype=np.int32).reshape(-1, 3),
    np.stack([SHADES, SHADES[::-1], np.full(256, 9, np.uint8)], axis=1),
)


def parse(payload: bytes) -> tuple[dict, bytes]:
    """The document of a GLB and its buffer, as the specification of glTF 2.0 lays them out."""
    assert payload[:4] == b"glTF" and int.from_bytes(payload[4:8], "little") == 2
    assert int.from_bytes(payload[8:12], "little") == len(payload)
    chunks, position = [], 12
    while position < len(payload):
        length = int.from_bytes(payload[position : position + 4], "little")
        assert length % 4 == 0
        kind = payload[position + 4 : position + 8]
        chunks.append((kind, payload[position + 8 : position + 8 + length]))
        position += 8 + length
    (json_kind, text), (binary_kind, buffer) = chunks
    assert (json_kind, binary_kind) == (b"JSON", b"BIN\0")
    document = json.loads(text)
    assert document["buffers"] == [{"byteLength": len(buffer)}]
    return document, buffer


def test_colours_are_linear_and_survive_to_the_last_shade() -> None:
    document, buffer = parse(encode_glb(MESH))
    accessor = document["accessors"][
        document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]
    ]
    assert accessor["normalized"] and (accessor["type"], accessor["componentType"]) == (
        "VEC4",
        5123,
    )
    view = document["bufferViews"][accessor["bufferView"]]
    stored = np.frombuffer(buffer, "<u2", 4 * accessor["count"], view["byteOffset"]).reshape(-1, 4)
    linear = stored / 65535
    assert (linear[:, 3] == 1).all()
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert (np.rint(255 * srgb[:, :3]) == MESH.colors).all()
    # Mid grey has about a fifth of the light of white.
    assert linear_from_srgb(np.array([128], np.uint8)) == pytest.approx(0.2158, abs=1e-3)


def test_the_material_is_unlit_and_otherwise_no_metal() -> None:
    document, _ = parse(encode_glb(MESH))
    (material,) = document["materials"]
    assert material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert "extensionsRequired" not in document
    assert document["meshes"][0]["primitives"][0]["material"] == 0


def test_a_mesh_without_colours_is_lit() -> None:
    document, _ = parse(encode_glb(MESH._replace(colors=None)))
    assert "extensions" not in document["materials"][0] and "extensionsUsed" not in document
    assert "COLOR_0" not in document["meshes"][0]["primitives"][0]["attributes"]


def test_other_programs_read_the_mesh() -> None:
    payload = encode_glb(MESH)
    document, _ = parse(payload)
    position = document["accessors"][0]
    assert position["min"] == pytest.approx(MESH.vertices.min(axis=0).tolist())
    assert position["max"] == pytest.approx(MESH.vertices.max(axis=0).tolist())
    mesh = trimesh.load(io.BytesIO(payload), file_type="glb", force="mesh", process=False)
    assert np.allclose(mesh.vertices, MESH.vertices) and np.array_equal(mesh.faces, MESH.faces)
    read = decode_mesh(payload, ".glb")
    assert np.allclose(read.vertices, MESH.vertices) and np.array_equal(read.faces, MESH.faces)


def compress(document: dict, extension: str) -> None:
    (primitive,) = document["meshes"][0]["primitives"]
    primitive["extensions"] = {extension: {"bufferView": 0, "attributes": {"POSITION": 0}}}
    document["extensionsRequired"] = [extension]
    for accessor in document["accessors"]:
        accessor.pop("bufferView")


def pack_views(document: dict) -> None:
    document["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}


def make_sparse(document: dict) -> None:
    views = {"indices": {"bufferView": 1, "componentType": 5125}, "values": {"bufferView": 0}}
    document["accessors"][0]["sparse"] = {"count": 1, **views}


def quantise(document: dict) -> None:
    document["accessors"][0] |= {"componentType": 5122, "normalized": True}


def make_fan(document: dict) -> None:
    document["meshes"][0]["primitives"][0]["mode"] = 6


def move_buffer(document: dict) -> None:
    document["buffers"][0]["uri"] = "head.bin"


def empty_accessor(document: dict) -> None:
    document["accessors"][0].pop("bufferView")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: compress(d, "KHR_draco_mesh_compression"), "KHR_draco_mesh_compression"),
        (pack_views, "EXT_meshopt_compression"),
        (make_sparse, "sparse accessors"),
        (quantise, "normalised integers"),
        (make_fan, "primitives of mode 6"),
        (move_buffer, "buffers in another file, head.bin"),
        (empty_accessor, "geometry without data"),
    ],
)
def test_what_is_not_read_is_refused_by_name(change: Callable[[dict], None], named: str) -> None:
    document, buffer = parse(encode_glb(MESH))
    change(document)
    with pytest.raises(ShapeError, match=f"has .*{named}.*, which rayboot does not read; "):
        decode_mesh(assemble(document, buffer), ".glb")


def test_an_unchanged_document_is_read_again() -> None:
    mesh = decode_mesh(assemble(*parse(encode_glb(MESH))), ".glb")
    assert np.allclose(mesh.vertices, MESH.vertices)


def assemble(document: dict, buffer: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = b"".join(
        len(part).to_bytes(4, "little") + kind + part
        for kind, part in ((b"JSON", text), (b"BIN\0", buffer))
    )
    return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks
