import struct

import numpy as np
import pytest

from rayboot.data.ply_files import parse_ply

POINTS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]]
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


def encode(
    kind: str, faces: list[list[int]], element: str = "face", name: str = "vertex_indices"
) -> bytes:
    """A PLY with colours, a property of its own on every face, and an element that is ignored."""
    header = f"""ply
format {kind} 1.0
comment made by a scanner
element vertex {len(POINTS)}
property double x
property double y
property double z
property uchar red
property uchar green
property uchar blue
element note 2
property short code
element {element} {len(faces)}
property float quality
property list uchar int {name}
end_header
""".encode()
    order = ORDERS[kind]
    if not order:
        lines = [" ".join(map(str, [*p, 10 * i, 20, 255])) for i, p in enumerate(POINTS)]
        lines += ["7", "8", *(" ".join(map(str, [0.5, len(f), *f])) for f in faces)]
        return header + "\n".join(lines).encode()
    body = b"".join(struct.pack(f"{order}3d3B", *p, 10 * i, 20, 255) for i, p in enumerate(POINTS))
    body += struct.pack(f"{order}2h", 7, 8)
    return (
        header + body + b"".join(struct.pack(f"{order}fB{len(f)}i", 0.5, len(f), *f) for f in faces)
    )


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(
    ("faces", "triangles"),
    [
        ([], []),
        ([[0, 1, 2], [2, 3, 0]], [[0, 1, 2], [2, 3, 0]]),
        ([[0, 1, 2, 3]], [[0, 1, 2], [0, 2, 3]]),
        ([[0, 1, 2], [0, 1, 2, 3], [3, 2, 1]], [[0, 1, 2], [0, 1, 2], [0, 2, 3], [3, 2, 1]]),
    ],
)
def test_points_and_polygons_of_every_encoding(kind: str, faces: list, triangles: list) -> None:
    mesh = parse_ply(encode(kind, faces))
    assert mesh.vertices.tolist() == POINTS
    assert mesh.faces.tolist() == triangles and mesh.faces.shape[1] == 3
    assert mesh.colors is not None
    assert mesh.colors.tolist() == [[10 * i, 20, 255] for i in range(4)]


@pytest.mark.parametrize("kind", ORDERS)
def test_strips_are_split(kind: str) -> None:
    mesh = parse_ply(encode(kind, [[0, 1, 2, 3]], "tristrips", "vertex_index"))
    assert mesh.faces.tolist() == [[0, 1, 2], [2, 1, 3]]


def test_colours_may_be_fractions() -> None:
    payload = b"ply\r\nformat ascii 1.0\r\nelement vertex 1\r\n"
    names = ("x", "y", "z", "red", "green", "blue")
    payload += b"".join(f"property float {name}\r\n".encode() for name in names)
    mesh = parse_ply(payload + b"end_header\r\n1 2 3 0 0.2 1\r\n")
    assert mesh.colors is not None and mesh.colors.tolist() == [[0, 51, 255]]


def test_a_mesh_whose_faces_have_no_indices_is_not_a_point_cloud() -> None:
    with pytest.raises(ValueError, match="element face has no list vertex_indices"):
        parse_ply(encode("ascii", [[0, 1, 2]], name="corners"))


@pytest.mark.parametrize("kind", ORDERS)
def test_a_truncated_file_is_refused(kind: str) -> None:
    payload = encode(kind, [[0, 1, 2], [0, 1, 2, 3]])
    for end in (20, len(payload) - 60, len(payload) - 3):
        with pytest.raises((ValueError, LookupError)):
            parse_ply(payload[:end])
    with pytest.raises(ValueError, match="header"):
        parse_ply(b"solid x")


def test_colours_are_optional() -> None:
    payload = encode("ascii", [])
    mesh = parse_ply(payload.replace(b"red", b"nx").replace(b"green", b"ny"))
    assert mesh.colors is None and np.isfinite(mesh.vertices).all()
