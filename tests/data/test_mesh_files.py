import io
from typing import Literal

import numpy as np
import pytest
import trimesh

from rayboot.data.mesh_files import encode_mesh
from rayboot.geometry.mesh import Mesh

TETRAHEDRON = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
    np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8),
)


@pytest.mark.parametrize("kind", ["ply", "glb"])
def test_vertices_and_colours_survive(kind: Literal["ply", "glb"]) -> None:
    payload = encode_mesh(TETRAHEDRON, kind)
    mesh = trimesh.load(io.BytesIO(payload), file_type=kind, force="mesh", process=False)
    assert np.allclose(mesh.vertices, TETRAHEDRON.vertices)
    assert np.array_equal(mesh.faces, TETRAHEDRON.faces)
    assert np.array_equal(np.asarray(mesh.visual.vertex_colors)[:, :3], TETRAHEDRON.colors)
