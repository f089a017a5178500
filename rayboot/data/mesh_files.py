"""Meshes as files: PLY and GLB are written; those and OBJ are read."""

import io
import re
import warnings
from typing import Any, Literal

import numpy as np
import trimesh

from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh

__all__ = ["MESH_SUFFIXES", "decode_mesh", "encode_mesh"]

MESH_SUFFIXES = (".obj", ".ply", ".glb")
"""That are read."""


def encode_mesh(mesh: Mesh, kind: Literal["ply", "glb"]) -> bytes:
    """The bytes of a mesh file, with the colours of the vertices where there are any."""
    shape = trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_colors=_opaque(mesh.colors), process=False
    )
    payload: Any = shape.export(file_type=kind)
    return bytes(payload)


def decode_mesh(payload: bytes, suffix: str) -> Mesh:
    """The mesh of a file that nobody vouches for; textures and materials are left aside.

    Args:
        payload: the file's bytes.
        suffix: of its name, with the dot; one of :data:`MESH_SUFFIXES`.

    Returns:
        Vertices (N, 3) float64 in the file's unit, frame and order, all of them, whether a
        triangle uses them or not; triangles (F, 3) int32, none for a cloud of points. The parts
        of a GLB are put together where its nodes place them.

    Raises:
        ShapeError: the file is damaged, of another kind or empty.
    """
    kind = suffix.lower()
    if kind not in MESH_SUFFIXES:
        raise ShapeError(f"expected a mesh in {', '.join(MESH_SUFFIXES)}, got {suffix or 'none'}")
    try:
        vertices, faces = _read(_shape_of_obj(payload) if kind == ".obj" else payload, kind[1:])
    except Exception as error:  # of a damaged file trimesh raises whatever it runs into
        raise ShapeError(
            f"the {kind} file is damaged or of another kind ({type(error).__name__}: {error})"
        ) from error
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        raise ShapeError(
            f"the {kind} file holds {len(vertices)} vertices; at least three are needed, all finite"
        )
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ShapeError(
            f"the {kind} file's triangles name vertices {faces.min()} to {faces.max()} of "
            f"{len(vertices)}"
        )
    return Mesh(vertices, faces.astype(np.int32))


def _shape_of_obj(payload: bytes) -> bytes:
    """Lines of vertices and triangles alone.

    Where texture coordinates or materials change, trimesh would take one vertex for several.
    """
    lines = (line for line in payload.splitlines() if line[:2] in (b"v ", b"v\t", b"f ", b"f\t"))
    return b"\n".join(re.sub(rb"/\S*", b"", line) if line[:1] == b"f" else line for line in lines)


def _read(payload: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    options: dict[str, Any] = {}
    if kind == "obj":
        options = {"skip_materials": True, "maintain_order": True}
    with warnings.catch_warnings():
        # What is wrong with the numbers is said in our own words.
        warnings.simplefilter("ignore")
        # No resolver: a file that names others gets none of them.
        scene = trimesh.load_scene(io.BytesIO(payload), file_type=kind, process=False, **options)
        vertices, faces, count = [], [], 0
        parts: list[Any] = scene.dump(concatenate=False)
        for part in parts:
            points = np.asarray(part.vertices, np.float64)
            vertices.append(points)
            faces.append(np.asarray(getattr(part, "faces", np.empty((0, 3))), np.int64) + count)
            count += len(points)
    if not vertices:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return np.concatenate(vertices), np.concatenate(faces)


def _opaque(colors: np.ndarray | None) -> np.ndarray | None:
    if colors is None:
        return None
    return np.column_stack([colors, np.full(len(colors), 255, np.uint8)])
