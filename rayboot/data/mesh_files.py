"""Meshes as files: PLY and GLB."""

from typing import Any, Literal

import numpy as np
import trimesh

from rayboot.geometry.mesh import Mesh

__all__ = ["encode_mesh"]


def encode_mesh(mesh: Mesh, kind: Literal["ply", "glb"]) -> bytes:
    """The bytes of a mesh file, with the colours of the vertices where there are any."""
    shape = trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_colors=_opaque(mesh.colors), process=False
    )
    payload: Any = shape.export(file_type=kind)
    return bytes(payload)


def _opaque(colors: np.ndarray | None) -> np.ndarray | None:
    if colors is None:
        return None
    return np.column_stack([colors, np.full(len(colors), 255, np.uint8)])
