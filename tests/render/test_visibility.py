import numpy as np
import pytest

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.render.visibility import cell_size, compute_visibility, silhouette_mask
from tests.render.solids import SIZE, ellipsoid


def doubled(mesh: Mesh) -> Mesh:
    """The same solid in a crop of twice the size, its vertices twice as far apart."""
    return mesh._replace(vertices=2 * mesh.vertices)


def test_silhouette_of_a_known_ellipse() -> None:
    mask = silhouette_mask(ellipsoid().vertices, SIZE)
    assert mask.sum() == pytest.approx(np.pi * 24 * 30, rel=0.05)
    assert silhouette_mask(ellipsoid().vertices, SIZE, margin=3).sum() > mask.sum()


def test_a_mesh_thinner_than_the_photo_leaves_no_holes_in_its_silhouette() -> None:
    assert cell_size(2 * SIZE) == 2
    mask = silhouette_mask(doubled(ellipsoid()).vertices, 2 * SIZE)
    assert mask.sum() == pytest.approx(4 * np.pi * 24 * 30, rel=0.05)
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE] - (2 * SIZE - 1) / 2
    assert mask[(x / 44) ** 2 + (y / 56) ** 2 < 1].all()


def test_seen_vertices_face_the_camera_and_are_in_front() -> None:
    mesh = ellipsoid()
    seen = compute_visibility(mesh, SIZE).seen
    assert (mesh.vertices[seen, 2] > 0).all()
    assert seen.mean() > 0.35


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_distance_from_the_outline(size: int) -> None:
    mesh = ellipsoid((24.0, 24.0, 20.0))
    inside = compute_visibility(mesh if size == SIZE else doubled(mesh), size).inside
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    expected = np.maximum(24 - np.hypot(x, y) * SIZE / size, 0)
    assert np.abs(inside - expected).max() < 1.2


def test_what_leaves_the_picture_ends_at_its_edge() -> None:
    mesh = ellipsoid()
    moved = mesh._replace(vertices=mesh.vertices + np.float32([SIZE / 2, 0, 0]))
    sight = compute_visibility(moved, SIZE)
    outside = moved.vertices[:, 0] > SIZE / 2 + 1
    assert outside.any()
    assert not sight.seen[outside].any()
    assert sight.inside[SIZE // 2, -1] <= 1


def test_points_near_the_front_are_looked_at_and_others_not() -> None:
    mesh = ellipsoid()
    sight = compute_visibility(mesh, SIZE)
    front = mesh.vertices[sight.seen][:50].astype(float)
    towards = np.tile([0.0, 0.0, 1.0], (50, 1))
    assert sight.is_visible(front, towards, 2.5).all()
    assert not sight.is_visible(front - [0, 0, 12], towards, 2.5).any()
    assert not sight.is_visible(front, -towards, 2.5).any()
    assert not sight.is_visible(front + [SIZE, 0, 0], towards, 2.5).any()


def test_the_seen_pixels_are_where_seen_vertices_fall() -> None:
    mesh = ellipsoid()
    sight = compute_visibility(mesh, SIZE)
    column, row = np.rint(pixel_from_crop(mesh.vertices[sight.seen], SIZE, SIZE)).astype(int).T
    assert sight.pixels[row, column].all()
    assert not sight.pixels[0].any()
