import numpy as np
import pytest

from rayboot.render.silhouette import distance_inside, silhouette
from tests.render.solids import SIZE, ellipsoid


def test_silhouette_of_a_known_ellipse() -> None:
    mask = silhouette(ellipsoid().vertices, SIZE)
    assert mask.sum() == pytest.approx(np.pi * 24 * 30, rel=0.05)
    assert silhouette(ellipsoid().vertices, SIZE, margin=3).sum() > mask.sum()


def test_distance_from_the_outline() -> None:
    mesh = ellipsoid((24.0, 24.0, 20.0))
    distance = distance_inside(mesh.vertices, SIZE)
    expected = 24 - np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1])
    assert np.abs(distance - expected).max() < 1.1


def test_what_lies_outside_the_picture_has_no_distance() -> None:
    grid = np.stack(np.meshgrid(np.arange(-5, 5, 0.5), np.arange(-5, 5, 0.5)), -1).reshape(-1, 2)
    points = np.column_stack([grid, np.zeros(len(grid))]) + [SIZE / 2, 0, 0]
    distance = distance_inside(points, SIZE)
    assert (distance[points[:, 0] > SIZE / 2 + 1] == 0).all()
    assert (distance[points[:, 0] < SIZE / 2 - 1] > 0).any()
