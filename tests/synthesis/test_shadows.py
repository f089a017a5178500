import numpy as np
import pytest

from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.shadows import cast_shadows
from tests.synthesis.heads import MODEL


def plate(x: float) -> Mesh:
    """Returns a square of side 2 above the plane, whose middle is at x."""
    u, v = np.meshgrid(np.linspace(x - 1, x + 1, 30), np.linspace(-1, 1, 30))
    points = np.column_stack([u.ravel(), v.ravel(), np.full(u.size, 3.0)])
    return Mesh(points, np.array([[0, 1, 2]]))


@pytest.mark.parametrize("slant", [0.0, 0.5])
def test_a_plate_shades_what_is_below_it_in_the_direction_of_the_light(slant: float) -> None:
    u, v = np.meshgrid(np.linspace(-5, 5, 41), np.linspace(-5, 5, 41))
    ground = np.column_stack([u.ravel(), v.ravel(), np.zeros(u.size)])
    direction = np.array([slant, 0.0, 1.0]) / np.hypot(slant, 1.0)
    shadow = cast_shadows(ground, [plate(0.0)], direction, 1.0)
    # The light comes from the right, so the shadow moves to the left.
    offset = np.abs(ground[:, :2] + [3 * slant, 0.0]).max(axis=1)
    assert shadow[offset < 0.7].min() > 0.9
    assert shadow[offset > 1.5].max() == 0


def test_a_head_shades_itself_only_where_light_comes_from_the_side() -> None:
    head = Mesh(MODEL.mean, MODEL.faces)
    front = MODEL.front
    frontal, lateral = (
        cast_shadows(MODEL.mean, [head], np.array(direction), 1.0)[front]
        for direction in ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    )
    assert frontal.mean() < 0.1
    left = MODEL.mean[front, 0] < -0.2
    assert lateral[left].mean() > 0.5
