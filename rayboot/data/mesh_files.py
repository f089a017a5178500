"""Meshes as files: PLY, GLB and OBJ, written and read."""

import io
import re
import warnings
from typing import Any, Literal, assert_never

import numpy as np

from rayboot.data.glb import encode_glb, require_plain_glb
from rayboot.data.ply_files import parse_ply
from rayboot.data.polygons import split_polygons
from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import MeshUnit, units_per_pixel

__all__ = ["MESH_SUFFIXES", "MeshFileKind", "decode_mesh", "encode_face_mesh", "encode_mesh"]

MeshFileKind = Literal["ply", "glb", "obj"]
"""Kind of a mesh file, which is also the suffix of its name."""

MESH_SUFFIXES = (".obj", ".ply", ".glb")
"""Suffixes of the mesh files that :func:`decode_mesh` reads."""


def encode_mesh(mesh: Mesh, kind: MeshFileKind, unit: MeshUnit | None = None) -> bytes:
    """Encodes a mesh as a file, with the colours of its vertices where it has any.

    Colours are sRGB in a PLY and an OBJ, where viewers expect that, and linear in a GLB.

    Args:
        mesh: the mesh.
        kind: kind of the file.
        unit: unit of its vertices, which the file then names: in a comment of a PLY or OBJ, in
            ``asset.extras`` of a GLB.
    """
    match kind:
        case "glb":
            return encode_glb(mesh, unit)
        case "ply":
            return _encode_ply(mesh, unit)
        case "obj":
            return _encode_obj(mesh, unit)
        case _:
            assert_never(kind)


def encode_face_mesh(mesh: Mesh, kind: MeshFileKind, resolution: int, unit: MeshUnit) -> bytes:
    """Encodes the mesh of a face as a file in a unit, which the file names.

    Args:
        mesh: mesh in the frame of its crop, px.
        kind: kind of the file.
        resolution: width and height of the crop, px.
        unit: unit of the file's vertices.
    """
    scaled = np.asarray(mesh.vertices * units_per_pixel(unit, resolution), np.float32)
    return encode_mesh(mesh._replace(vertices=scaled), kind, unit)


def _encode_ply(mesh: Mesh, unit: MeshUnit | None) -> bytes:
    payload: Any = mesh.to_trimesh().export(file_type="ply")
    if unit is None:
        return bytes(payload)
    before, element, after = bytes(payload).partition(b"\nelement ")
    return before + f"\ncomment unit {unit}".encode() + element + after


def _encode_obj(mesh: Mesh, unit: MeshUnit | None) -> bytes:
    """Encodes a mesh as OBJ, its colours as three further numbers of each vertex.

    MeshLab, Blender, CloudCompare and three.js read them; other viewers show the shape in grey.
    """
    header = ["# rayboot", *([] if unit is None else [f"# unit {unit}"])]
    points = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    if mesh.colors is not None:
        colors = (mesh.colors / 255).tolist()
        points = [
            f"{point} {red:.4f} {green:.4f} {blue:.4f}"
            for point, (red, green, blue) in zip(points, colors, strict=True)
        ]
    triangles = [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return "\n".join([*header, *points, *triangles, ""]).encode("ascii")


def decode_mesh(payload: bytes, suffix: str) -> Mesh:
    """Decodes a mesh file from an untrusted source; textures and materials are ignored.

    Args:
        payload: Content of the file.
        suffix: Suffix of the file name, with the dot; one of :data:`MESH_SUFFIXES`.

    Returns:
        Vertices (N, 3) float64 in the file's unit, frame and order, including those that no
        triangle uses; triangles (F, 3) int32, into which polygons are split, none for a point
        cloud. The parts of a GLB are placed as its nodes transform them.

    Raises:
        ShapeError: the file is damaged, of another kind or empty, or a GLB whose geometry is
            compressed, sparse or elsewhere.
    """
    kind = suffix.lower()
    if kind not in MESH_SUFFIXES:
        raise ShapeError(
            f"expected a mesh file that ends in {', '.join(MESH_SUFFIXES)}, got "
            f"{suffix or 'no suffix'}"
        )
    try:
        vertices, faces = _PARSERS[kind](payload)
    except ShapeError:
        raise
    except Exception as error:  # the parsers have no common error class for damaged files
        raise ShapeError(
            f"the {kind} file is damaged or of another kind ({type(error).__name__}: {error})"
        ) from error
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        raise ShapeError(
            f"the {kind} file must have three or more vertices, all finite; got {len(vertices)} "
            f"vertices, {int((~np.isfinite(vertices)).any(axis=1).sum())} of them not finite"
        )
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ShapeError(
            f"the triangles of the {kind} file must use vertices 0 to {len(vertices) - 1}, got "
            f"{faces.min()} to {faces.max()}"
        )
    return Mesh(vertices, faces.astype(np.int32))


def _parse_obj(payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns vertices and triangles of an OBJ; textures, colours and groups are ignored.

    trimesh would count negative indices from the end of the file instead of from their line, and
    would split vertices where texture coordinates or materials change.
    """
    text = re.sub(rb"\\\r?\n", b" ", payload.removeprefix(b"\xef\xbb\xbf"))
    vertices: list[list[bytes]] = []
    polygons: list[list[int]] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [b"v"]:
            vertices.append(words[1:4])
        elif words[:1] == [b"f"]:
            indices = [int(word.split(b"/", 1)[0]) for word in words[1:]]
            # A negative index counts back from the last vertex before this line; 0 is none, and
            # becomes -1, which decode_mesh refuses.
            polygons.append(
                [index - 1 if index >= 0 else index + len(vertices) for index in indices]
            )
    points = np.array(vertices).astype(np.float64).reshape(-1, 3)
    return points, split_polygons(polygons)


def _parse_ply(payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    mesh = parse_ply(payload)
    return mesh.vertices, mesh.faces


def _parse_glb(payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns vertices (N, 3) float64 and triangles (F, 3) int64 of all parts of a GLB."""
    import trimesh

    require_plain_glb(payload)
    with warnings.catch_warnings():
        # Values that are not finite raise NumPy warnings; decode_mesh reports them as an error.
        warnings.simplefilter("ignore")
        # Without a resolver, files that this file refers to are not opened.
        scene = trimesh.load_scene(io.BytesIO(payload), file_type="glb", process=False)
        vertices, faces, num_vertices = [], [], 0
        parts: list[Any] = scene.dump(concatenate=False)
        for part in parts:
            points = np.asarray(part.vertices, np.float64)
            triangles = np.asarray(getattr(part, "faces", np.empty((0, 3))), np.int64)
            vertices.append(points)
            faces.append(triangles + num_vertices)
            num_vertices += len(points)
    if not vertices:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return np.concatenate(vertices), np.concatenate(faces)


_PARSERS = {".obj": _parse_obj, ".ply": _parse_ply, ".glb": _parse_glb}
