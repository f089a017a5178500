from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import trimesh

from rayboot.data.mesh_files import encode_mesh
from rayboot.data.textured_meshes import read_textured_mesh
from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
FACES = np.array([[0, 1, 2], [0, 2, 3]])
COLORS = np.array([[255, 0, 0], [0, 128, 0], [0, 0, 255], [60, 60, 60]], np.uint8)
TEXTURE = (np.arange(48, dtype=np.uint8) * 5).reshape(4, 4, 3)
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)


def textured() -> trimesh.Trimesh:
    visual = trimesh.visual.TextureVisuals(uv=UV, image=PIL.Image.fromarray(TEXTURE))
    return trimesh.Trimesh(VERTICES, FACES, process=False, visual=visual)


@pytest.mark.parametrize("kind", ["obj", "glb", "ply"])
def test_a_texture_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{kind}"
    textured().export(path)
    if kind == "ply":
        PIL.Image.fromarray(TEXTURE).save(tmp_path / "scan.png")
        payload = path.read_bytes().replace(
            b"element vertex", b"comment TextureFile scan.png\nelement vertex"
        )
        path.write_bytes(payload)
    scan = read_textured_mesh(path)
    assert scan.colors == "texture" and (scan.image == TEXTURE).all()
    assert (scan.factors == 1).all()
    for point, coordinate in zip(scan.vertices, scan.texture_coordinates, strict=True):
        assert coordinate == pytest.approx(point[:2])
    assert len(scan.faces) == 2


@pytest.mark.parametrize("kind", ["obj", "glb", "ply"])
def test_vertex_colours_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{kind}"
    if kind == "obj":
        trimesh.Trimesh(VERTICES, FACES, vertex_colors=COLORS, process=False).export(path)
    else:  # linear in the GLB, with a material
        mesh = Mesh(VERTICES.astype(np.float32), FACES.astype(np.int32), COLORS)
        path.write_bytes(encode_mesh(mesh, "glb" if kind == "glb" else "ply"))
    scan = read_textured_mesh(path)
    assert scan.colors == "vertices"
    assert (np.rint(255 * scan.factors) == COLORS).all() and (scan.image == 255).all()


def test_linear_colours_without_a_material_become_srgb(tmp_path: Path) -> None:
    linear = np.full((4, 3), 55, np.uint8)  # 0.2158, the light of sRGB's middle grey
    trimesh.Trimesh(VERTICES, FACES, vertex_colors=linear, process=False).export(tmp_path / "a.glb")
    assert np.rint(255 * read_textured_mesh(tmp_path / "a.glb").factors) == pytest.approx(
        128, abs=1
    )


@pytest.mark.parametrize("kind", ["obj", "glb", "ply"])
def test_a_scan_without_colours_is_grey(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{kind}"
    trimesh.Trimesh(VERTICES, FACES, process=False).export(path)
    scan = read_textured_mesh(path)
    assert scan.colors == "none" and len(np.unique(scan.factors)) == 1


def test_an_obj_whose_texture_is_absent_is_grey(tmp_path: Path) -> None:
    textured().export(tmp_path / "scan.obj")
    for image in tmp_path.glob("*.png"):
        image.unlink()
    assert read_textured_mesh(tmp_path / "scan.obj").colors == "none"


def test_negative_indices_count_back_from_their_line(tmp_path: Path) -> None:
    square = "v 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nf -3/-3 -2/-2 -1/-1\n"
    (tmp_path / "a.obj").write_text(square + "o second\n" + square.replace(" 0\n", " 9\n"))
    scan = read_textured_mesh(tmp_path / "a.obj")
    triangles = scan.vertices[scan.faces]
    assert triangles[0].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert triangles[1].tolist() == [[0, 0, 9], [1, 0, 9], [1, 1, 9]]


def test_what_is_no_scan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_bytes(b"solid")
    with pytest.raises(ShapeError, match=r"ends in \.obj, \.ply, \.glb, got \.stl"):
        read_textured_mesh(tmp_path / "a.stl")
    (tmp_path / "a.glb").write_bytes(b"nonsense")
    with pytest.raises(ShapeError, match="damaged or of another kind"):
        read_textured_mesh(tmp_path / "a.glb")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\n")
    with pytest.raises(ShapeError, match=r"points alone|damaged"):
        read_textured_mesh(tmp_path / "a.obj")
