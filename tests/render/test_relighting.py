import numpy as np
import pytest

from rayboot.render.relighting import draw_light, light_gain


def sphere_normals(count: int = 4000) -> np.ndarray:
    normals = np.random.default_rng(3).normal(size=(count, 3))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def test_lights_come_from_the_cameras_side_with_the_given_strength() -> None:
    lights = np.stack([draw_light(np.random.default_rng(seed), 0.6) for seed in range(300)])
    assert np.allclose(np.linalg.norm(lights, axis=1), 0.6)
    angles = np.degrees(np.arccos(lights[:, 2] / 0.6))
    assert 70 < angles.max() <= 75
    # The directions are symmetric about the camera's axis.
    assert np.abs(lights[:, :2].mean(axis=0)).max() < 0.06


def test_a_light_from_the_right_brightens_the_right() -> None:
    normals = sphere_normals()
    gain = light_gain(normals, np.array([0.5, 0.0, 0.0]))
    right, left = gain[normals[:, 0] > 0.7].mean(), gain[normals[:, 0] < -0.7].mean()
    assert right > 1.1 > 0.9 > left > 0


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_a_face_keeps_its_exposure(strength: float) -> None:
    normals = sphere_normals()
    light = draw_light(np.random.default_rng(0), strength)
    linear = light_gain(normals, light)[normals[:, 2] > 0] ** 2.2
    assert linear.mean() == pytest.approx(1, abs=1e-3)
    assert linear.min() >= 1 - strength - 1e-3


def test_zero_strength_changes_nothing() -> None:
    normals = sphere_normals(50)
    assert np.array_equal(light_gain(normals, np.zeros(3)), np.ones(50, np.float32))
