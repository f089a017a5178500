import io

import numpy as np
import pytest
import trimesh

from rayboot.data.mesh_files import MeshFileKind, decode_mesh, encode_face_mesh, encode_mesh
from rayboot.errors import ShapeError
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import metres_per_pixel

TETRAHEDRON = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
    np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8),
)


@pytest.mark.parametrize("kind", ["ply", "glb", "obj"])
def test_vertices_and_colours_survive(kind: MeshFileKind) -> None:
    payload = encode_mesh(TETRAHEDRON, kind)
    mesh = trimesh.load(io.BytesIO(payload), file_type=kind, force="mesh", process=False)
    assert np.allclose(mesh.vertices, TETRAHEDRON.vertices)
    assert np.array_equal(mesh.faces, TETRAHEDRON.faces)
    if kind != "glb":  # those of a GLB are linear: tests/data/test_glb.py
        assert np.array_equal(np.asarray(mesh.visual.vertex_colors)[:, :3], TETRAHEDRON.colors)


CLOUD = trimesh.PointCloud(TETRAHEDRON.vertices).export(file_type="ply")
OBJ = b"""mtllib textures.mtl
v 0 0 0
v 1 0 0
v 7 7 7
v 0 1 0
v 0 0 1
v 9 9 9
vt 0 0
vt 1 0
vn 0 0 1
usemtl skin
g front
f 1/1/1 4/2/1 2/1/1
usemtl hair
o back
f 1//1 2//1 5//1
f -6/2 -2/1 -3/2
f 2 4 5
"""


@pytest.mark.parametrize("kind", ["ply", "glb", "obj"])
def test_a_written_mesh_is_read_back(kind: MeshFileKind) -> None:
    mesh = decode_mesh(encode_mesh(TETRAHEDRON, kind), f".{kind.upper()}")
    assert mesh.vertices == pytest.approx(TETRAHEDRON.vertices)
    assert np.array_equal(mesh.faces, TETRAHEDRON.faces)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("ply", b"\ncomment unit metre\n"),
        ("glb", b'"extras":{"unit":"metre"}'),
        ("obj", b"\n# unit metre\n"),
    ],
)
def test_a_face_in_metres_says_so(kind: MeshFileKind, names: bytes) -> None:
    payload = encode_face_mesh(TETRAHEDRON, kind, 96, "metre")
    assert names in payload[:2000]
    mesh = decode_mesh(payload, f".{kind}")
    assert np.abs(mesh.vertices - metres_per_pixel(96) * TETRAHEDRON.vertices).max() < 1e-6
    in_pixels = encode_face_mesh(TETRAHEDRON, kind, 96, "pixel")
    assert names.replace(b"metre", b"pixel") in in_pixels[:2000]
    assert np.allclose(decode_mesh(in_pixels, f".{kind}").vertices, TETRAHEDRON.vertices)
    assert b"unit" not in encode_mesh(TETRAHEDRON, kind)


def test_an_obj_keeps_its_vertices_whatever_its_textures_and_groups() -> None:
    mesh = decode_mesh(OBJ, ".obj")
    points = [[0, 0, 0], [1, 0, 0], [7, 7, 7], [0, 1, 0], [0, 0, 1], [9, 9, 9]]
    assert np.array_equal(mesh.vertices, points)
    assert np.array_equal(mesh.faces, [[0, 3, 1], [0, 1, 4], [0, 4, 3], [1, 3, 4]])
    assert np.array_equal(decode_mesh(OBJ.replace(b"\n", b"\r\n"), ".obj").faces, mesh.faces)


SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def test_negative_indices_of_an_obj_count_back_from_their_line() -> None:
    parts = SQUARE + b"f -4 -3 -2\no second\n" + SQUARE.replace(b" 0\n", b" 9\n") + b"f -4 -3 -1\n"
    mesh = decode_mesh(parts, ".obj")
    assert len(mesh.vertices) == 8
    assert mesh.faces.tolist() == [[0, 1, 2], [4, 5, 7]]


def test_polygons_of_an_obj_are_split() -> None:
    mesh = decode_mesh(SQUARE + b"v -1 0.5 0\nf 1/1 2/2 3/3 4/4\nf 1 2 3 4 5\n", ".obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 3], [0, 3, 4]]


@pytest.mark.parametrize(
    "payload",
    [
        SQUARE.replace(b"\n", b" 0.5 0.25 1\n") + b"f 1 2 3\n",
        SQUARE.replace(b" 0\n", b" 0 1 0 0\n", 1) + b"f 1 2 3\n",
        b"\xef\xbb\xbf" + SQUARE + b"f 1 2 \\\n 3\n",
        SQUARE.replace(b"v", b"  v") + b"\tf 1 2 3\n",
    ],
    ids=["colours", "some colours", "byte order mark, long line", "indented"],
)
def test_an_obj_of_another_program_is_read(payload: bytes) -> None:
    mesh = decode_mesh(payload, ".obj")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("face", [b"f 0 1 2\n", b"f -5 1 2\n", b"f 1 2 5\n"])
def test_indices_of_no_vertex_are_refused(face: bytes) -> None:
    with pytest.raises(ShapeError, match="must use vertices 0 to 3"):
        decode_mesh(SQUARE + face, ".obj")


def test_parts_of_a_glb_are_placed_by_its_nodes() -> None:
    scene = trimesh.Scene()
    for shift in (0, 5):
        shape = trimesh.Trimesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, process=False)
        move = trimesh.transformations.translation_matrix([shift, 0, 0])
        scene.add_geometry(shape, transform=move)
    mesh = decode_mesh(scene.export(file_type="glb"), ".glb")
    assert mesh.vertices[:, 0].max() == pytest.approx(6)
    assert len(mesh.vertices) == 8 and mesh.faces.max() == 7


def test_a_point_cloud_has_no_triangles() -> None:
    mesh = decode_mesh(CLOUD, ".ply")
    assert mesh.vertices == pytest.approx(TETRAHEDRON.vertices) and mesh.faces.shape == (0, 3)


@pytest.mark.parametrize("kind", ["obj", "ply", "glb"])
def test_a_damaged_mesh_is_refused_or_read_but_never_ends_a_run(kind: str) -> None:
    whole = OBJ if kind == "obj" else encode_mesh(TETRAHEDRON, kind)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for payload in (b"", whole[:30], b"nonsense\n" * 20, rng.bytes(300)):
        with pytest.raises(ShapeError, match=f"the .{kind} file"):
            decode_mesh(payload, f".{kind}")
    for _ in range(60):
        payload = bytearray(whole)
        for index in rng.integers(0, len(payload), 3):
            payload[index] = rng.integers(0, 256)
        try:
            mesh = decode_mesh(bytes(payload), f".{kind}")
        except ShapeError:
            continue
        assert np.isfinite(mesh.vertices).all()
        assert len(mesh.faces) == 0 or mesh.faces.max() < len(mesh.vertices)


def test_missing_or_infinite_vertices_are_refused() -> None:
    with pytest.raises(ShapeError):
        decode_mesh(OBJ.replace(b"f 2 4 5", b"f 2 4 50"), ".obj")
    with pytest.raises(ShapeError, match="finite"):
        decode_mesh(OBJ.replace(b"v 1 0 0", b"v 1 nan 0"), ".obj")


def test_another_suffix_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a mesh file that ends in \.obj.*got \.stl"):
        decode_mesh(OBJ, ".stl")
