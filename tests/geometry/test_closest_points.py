import numpy as np
import pytest
import trimesh
from scipy.optimize import minimize

from rayboot.geometry.closest_points import closest_on_mesh, closest_on_triangles


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_closest_point_of_a_triangle_by_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners, point = rng.normal(size=(1, 3, 3)), rng.normal(0, 2, (1, 3))

    def squared(shares: np.ndarray) -> float:
        weights = np.array([1 - shares.sum(), *shares])
        return float(np.square(weights @ corners[0] - point[0]).sum())

    bounds = [{"type": "ineq", "fun": lambda s: np.array([s[0], s[1], 1 - s.sum()])}]
    best = minimize(squared, [0.3, 0.3], constraints=bounds, method="SLSQP")
    found = closest_on_triangles(point, corners)
    assert np.square(found - point).sum() == pytest.approx(best.fun, abs=1e-5)


def test_corners_edges_and_the_inside() -> None:
    triangle = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    points = np.array([[0.5, 0.5, 3], [-1, -1, 0], [1, -1, 1], [3, 3, 0], [5, 0, 0]])
    expected = np.array([[0.5, 0.5, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0]])
    found = closest_on_triangles(points, np.repeat(triangle[None], len(points), axis=0))
    assert found == pytest.approx(expected)


def test_a_triangle_without_area_is_its_edge() -> None:
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert closest_on_triangles(np.array([[1.5, 1, 0]]), flat) == pytest.approx(
        np.array([[1.5, 0, 0]])
    )


def test_points_over_a_sphere_are_their_height_away() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=10.0)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(500, 3))
    points = 10.4 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    apart = np.linalg.norm(points[:, None] - vertices[None], axis=-1)
    found = closest_on_mesh(points, vertices, faces, apart.argmin(axis=1))
    distance = np.linalg.norm(points - found, axis=1)
    # Flat triangles lie a little inside of the sphere.
    assert (distance >= 0.4 - 1e-9).all() and (distance < 0.43).all()
    assert apart.min(axis=1).mean() > 1.1 * distance.mean()
