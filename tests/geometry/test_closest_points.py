import numpy as np
import pytest
import trimesh
from scipy.optimize import minimize

from rayboot.geometry.closest_points import closest_on_mesh, closest_on_triangles


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_closest_point_of_a_triangle_matches_a_numerical_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners, point = rng.normal(size=(1, 3, 3)), rng.normal(0, 2, (1, 3))

    def squared(coordinates: np.ndarray) -> float:
        weights = np.array([1 - coordinates.sum(), *coordinates])
        return float(np.square(weights @ corners[0] - point[0]).sum())

    bounds = [{"type": "ineq", "fun": lambda s: np.array([s[0], s[1], 1 - s.sum()])}]
    best = minimize(squared, [0.3, 0.3], constraints=bounds, method="SLSQP")
    closest = closest_on_triangles(point, corners)
    assert np.square(closest - point).sum() == pytest.approx(best.fun, abs=1e-5)


def test_closest_points_at_corners_edges_and_inside() -> None:
    triangle = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    points = np.array([[0.5, 0.5, 3], [-1, -1, 0], [1, -1, 1], [3, 3, 0], [5, 0, 0]])
    expected = np.array([[0.5, 0.5, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0]])
    closest = closest_on_triangles(points, np.repeat(triangle[None], len(points), axis=0))
    assert closest == pytest.approx(expected)


def test_a_degenerate_triangle_acts_as_its_edge() -> None:
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert closest_on_triangles(np.array([[1.5, 1, 0]]), flat) == pytest.approx(
        np.array([[1.5, 0, 0]])
    )


def test_distance_to_a_sphere_is_the_height_above_it() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=10.0)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(500, 3))
    points = 10.4 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    vertices, faces = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    vertex_distances = np.linalg.norm(points[:, None] - vertices[None], axis=-1)
    closest = closest_on_mesh(points, vertices, faces, vertex_distances.argmin(axis=1))
    distance = np.linalg.norm(points - closest, axis=1)
    # Flat triangles are slightly inside the sphere.
    assert (distance >= 0.4 - 1e-9).all() and (distance < 0.43).all()
    assert vertex_distances.min(axis=1).mean() > 1.1 * distance.mean()
