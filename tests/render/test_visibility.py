import numpy as np
import pytest

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.mesh import Mesh
from rayboot.render.visibility import cell_size, compute_visibility, silhouette_mask
from tests.render.solids import SIZE, ellipsoid


def double_size(mesh: Mesh) -> Mesh:
    """Returns the solid in a crop of twice the size, its vertices twice as far apart."""
    return mesh._replace(vertices=2 * mesh.vertices)


def test_silhouette_of_a_known_ellipse() -> None:
    mask = silhouette_mask(ellipsoid().vertices, SIZE)
    assert mask.sum() == pytest.approx(np.pi * 24 * 30, rel=0.05)
    assert silhouette_mask(ellipsoid().vertices, SIZE, margin=3).sum() > mask.sum()


def test_silhouette_of_a_mesh_coarser_than_the_photo_has_no_holes() -> None:
    assert cell_size(2 * SIZE) == 2
    mask = silhouette_mask(double_size(ellipsoid()).vertices, 2 * SIZE)
    assert mask.sum() == pytest.approx(4 * np.pi * 24 * 30, rel=0.05)
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE] - (2 * SIZE - 1) / 2
    assert mask[(x / 44) ** 2 + (y / 56) ** 2 < 1].all()


def test_visible_vertices_face_the_camera_and_are_in_front() -> None:
    mesh = ellipsoid()
    visible = compute_visibility(mesh, SIZE).visible
    assert (mesh.vertices[visible, 2] > 0).all()
    assert visible.mean() > 0.35


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_distance_from_the_outline(size: int) -> None:
    mesh = ellipsoid((24.0, 24.0, 20.0))
    distance = compute_visibility(
        mesh if size == SIZE else double_size(mesh), size
    ).outline_distance
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    expected = np.maximum(24 - np.hypot(x, y) * SIZE / size, 0)
    assert np.abs(distance - expected).max() < 1.2


def test_vertices_outside_the_image_are_hidden() -> None:
    mesh = ellipsoid()
    moved = mesh._replace(vertices=mesh.vertices + np.float32([SIZE / 2, 0, 0]))
    visibility = compute_visibility(moved, SIZE)
    outside = moved.vertices[:, 0] > SIZE / 2 + 1
    assert outside.any()
    assert not visibility.visible[outside].any()
    assert visibility.outline_distance[SIZE // 2, -1] <= 1


def test_points_are_visible_only_near_the_front_and_facing_the_camera() -> None:
    mesh = ellipsoid()
    visibility = compute_visibility(mesh, SIZE)
    front = mesh.vertices[visibility.visible][:50].astype(float)
    towards = np.tile([0.0, 0.0, 1.0], (50, 1))
    assert visibility.is_visible(front, towards, 2.5).all()
    assert not visibility.is_visible(front - [0, 0, 12], towards, 2.5).any()
    assert not visibility.is_visible(front, -towards, 2.5).any()
    assert not visibility.is_visible(front + np.array([SIZE, 0, 0]), towards, 2.5).any()


def test_visible_pixels_contain_the_visible_vertices() -> None:
    mesh = ellipsoid()
    visibility = compute_visibility(mesh, SIZE)
    column, row = (
        np.rint(pixel_from_crop(mesh.vertices[visibility.visible], SIZE, SIZE)).astype(int).T
    )
    assert visibility.visible_pixels[row, column].all()
    assert not visibility.visible_pixels[0].any()
