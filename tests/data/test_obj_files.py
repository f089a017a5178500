from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from rayboot.data.images import decode_photo
from rayboot.data.mesh_files import decode_mesh
from rayboot.data.obj_files import companion_names, encode_face_obj
from rayboot.geometry.physical_size import metres_per_pixel
from rayboot.render.texturing import color_vertices
from tests.render.solids import ellipsoid, smooth_photo


def vertex_colors(shape: Any) -> np.ndarray:
    """Returns the colour (N, 3) that trimesh reads from the texture at every vertex."""
    assert isinstance(shape.visual, trimesh.visual.TextureVisuals)
    return np.asarray(shape.visual.to_color().vertex_colors)[:, :3]


@pytest.mark.parametrize("stem", ["face", "my face", "sømn.1"])
def test_another_program_reads_mesh_and_texture(tmp_path: Path, stem: str) -> None:
    mesh, crop = ellipsoid(), smooth_photo()
    closeup = cv2.resize(crop, (200, 200))
    files = encode_face_obj(mesh, crop, closeup, f"{stem}.obj", "metre")
    assert [*files] == [f"{stem}.obj", f"{stem}.mtl", f"{stem}-texture.png"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    shape: Any = trimesh.load_mesh(tmp_path / f"{stem}.obj", process=False)
    expected = color_vertices(mesh, crop, None, "mirrored").colors
    assert expected is not None
    # trimesh repeats vertices where the texture has a seam.
    _, nearest = cKDTree(shape.vertices).query(metres_per_pixel(96) * mesh.vertices)
    difference = np.abs(vertex_colors(shape)[nearest].astype(int) - expected).max(axis=1)
    assert np.median(difference) <= 2 and np.quantile(difference, 0.9) <= 12


def test_the_files_are_those_of_the_mesh() -> None:
    mesh, crop = ellipsoid(), smooth_photo()
    files = encode_face_obj(mesh, crop, None, "folder/a.obj", "pixel")
    obj = files["folder/a.obj"]
    assert b"\n# unit pixel\n" in obj and b"\nmtllib a.mtl\n" in obj
    assert b"map_Kd a-texture.png\n" in files["folder/a.mtl"]
    read = decode_mesh(obj, ".obj")
    assert np.allclose(read.vertices, mesh.vertices, atol=1e-5)
    assert np.array_equal(read.faces, mesh.faces)
    assert decode_photo(files["folder/a-texture.png"]).shape == (192, 192, 3)


def test_names_never_break_a_line_and_never_are_the_photos() -> None:
    material, texture = companion_names("s3://bucket/a/b\n.c.obj")
    assert material == "s3://bucket/a/b_.c.mtl" and texture == "s3://bucket/a/b_.c-texture.png"
    assert "me.png" not in companion_names("me.obj")
