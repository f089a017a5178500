import numpy as np

from rayboot.render.light_transfer import estimate_light_ratios

SIZE = 96


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Places on the right half of a picture, and their mirror images on the left."""
    column, row = np.meshgrid(np.arange(50.0, 92.0), np.arange(4.0, 92.0))
    here = np.stack([column.ravel(), row.ravel()], axis=1)
    return here, here * (-1, 1) + (SIZE - 1, 0)


def test_the_factor_is_the_ratio_of_the_sides() -> None:
    texture = np.full((SIZE, SIZE, 3), 200, np.uint8)
    texture[:, SIZE // 2 :] = 130
    here, there = pairs()
    factors = estimate_light_ratios(texture, here, there, here)
    assert factors.shape == here.shape[:1] + (3,)
    assert np.abs(factors - 140 / 210).max() < 0.01


def test_features_of_one_side_are_not_light() -> None:
    texture = np.full((SIZE, SIZE, 3), 120, np.uint8)
    texture[40:46, 60:66] = 20
    here, there = pairs()
    assert np.abs(estimate_light_ratios(texture, here, there, here) - 1).max() < 0.05


def test_places_beyond_take_the_nearest_and_factors_are_bounded() -> None:
    texture = np.full((SIZE, SIZE, 3), 250, np.uint8)
    texture[:, SIZE // 2 :] = 0
    here, there = pairs()
    far = np.array([[95.0, 0.0], [94.0, 95.0]])
    assert np.allclose(estimate_light_ratios(texture, here, there, far), np.exp(-0.8))


def test_without_pairs_the_light_is_even() -> None:
    texture = np.full((SIZE, SIZE, 3), 9, np.uint8)
    nothing = np.zeros((0, 2))
    assert np.array_equal(
        estimate_light_ratios(texture, nothing, nothing, np.array([[5.0, 5.0]])), np.ones((1, 3))
    )
