import numpy as np
import pytest

from rayboot.evaluate.report.rasterizer import rasterize, shade
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh

RADIUS = 20.0


@pytest.fixture(scope="module")
def ball() -> Mesh:
    z, y, x = np.mgrid[:96, :64, :64]
    distance = np.sqrt((x - 31.5) ** 2 + (y - 31.5) ** 2 + ((z - 47.5) / 2) ** 2)
    return extract_surface(np.clip(RADIUS - distance + 0.5, 0, 1).astype(np.float32))


@pytest.mark.parametrize("size", [64, 150])
def test_a_ball_covers_its_disc_and_shows_its_front(ball: Mesh, size: int) -> None:
    raster = rasterize(ball, 64, size)
    scale = size / 64
    assert raster.covered.sum() == pytest.approx(np.pi * (RADIUS * scale) ** 2, rel=0.02)
    shown = raster.interpolate(ball.vertices)
    # Each pixel shows the surface at its centre.
    column = (np.arange(size) - (size - 1) / 2) / scale
    offset = shown[..., :2] - np.stack(np.meshgrid(column, -column), axis=-1)
    assert np.nanmax(np.abs(offset)) < 1e-6
    height = np.sqrt(np.maximum(RADIUS**2 - (shown[..., :2] ** 2).sum(axis=-1), 0))
    inner = raster.covered & (height > 5)
    assert np.abs(shown[..., 2] - height)[inner].max() < 0.6
    assert np.isnan(shown[~raster.covered]).all()


def test_a_smaller_window_is_magnified(ball: Mesh) -> None:
    whole, middle = rasterize(ball, 64, 64), rasterize(ball, 48, 64)
    assert middle.covered.sum() == pytest.approx(whole.covered.sum() * (64 / 48) ** 2, rel=0.02)
    # A window inside the ball is fully covered, and parts of the mesh outside it are ignored.
    assert rasterize(ball, 16, 32).covered.all()


def test_the_nearer_of_two_triangles_is_visible() -> None:
    corners = np.array([[-9, -9, 0], [9, -9, 0], [0, 9, 0]], float)
    mesh = Mesh(np.vstack([np.add(corners, [0, 0, 3]), corners]), np.array([[0, 1, 2], [3, 4, 5]]))
    for order in ([0, 1], [1, 0]):
        raster = rasterize(mesh._replace(faces=mesh.faces[order]), 24, 24)
        shown = raster.interpolate(np.array([1, 1, 1, 2, 2, 2]))[raster.covered]
        assert shown == pytest.approx(1)
        assert raster.covered.sum() == pytest.approx(18 * 18 / 2, rel=0.08)


def test_shading_does_not_depend_on_the_order_of_corners(ball: Mesh) -> None:
    raster = rasterize(ball, 64, 64)
    light = shade(ball, raster)
    assert np.nanmin(light) >= 0 and np.nanmax(light) <= 1
    assert np.isnan(light[~raster.covered]).all()
    # The light comes from the upper left.
    assert light[20, 20] > light[44, 44] + 0.2
    reversed_ball = ball._replace(faces=ball.faces[:, ::-1])
    assert np.allclose(
        shade(reversed_ball, rasterize(reversed_ball, 64, 64)), light, equal_nan=True, atol=0.02
    )


def test_triangles_outside_or_edge_on_are_not_drawn() -> None:
    faces = np.array([[0, 1, 2]])
    outside = Mesh(np.array([[90, 0, 0], [95, 0, 0], [90, 5, 0]], float), faces)
    assert rasterize(outside, 64, 64).covered.sum() == 0
    edge = Mesh(np.array([[0, 0, 0], [9, 9, 0], [18, 18, 5]], float), faces)
    assert rasterize(edge, 64, 64).covered.sum() == 0
    assert np.isnan(shade(edge, rasterize(edge, 64, 64))).all()
