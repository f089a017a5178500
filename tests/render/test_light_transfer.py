import numpy as np

from rayboot.render.light_transfer import estimate_light_ratios

SIZE = 96


def mirrored_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels on the right half of an image, and their mirror images on the left."""
    column, row = np.meshgrid(np.arange(50.0, 92.0), np.arange(4.0, 92.0))
    pixels = np.stack([column.ravel(), row.ravel()], axis=1)
    return pixels, pixels * (-1, 1) + (SIZE - 1, 0)


def test_the_ratio_of_both_sides_is_recovered() -> None:
    texture = np.full((SIZE, SIZE, 3), 200, np.uint8)
    texture[:, SIZE // 2 :] = 130
    pixels, mirrored = mirrored_pairs()
    ratios = estimate_light_ratios(texture, pixels, mirrored, pixels)
    assert ratios.shape == (len(pixels), 3)
    assert np.abs(ratios - 140 / 210).max() < 0.01


def test_features_on_one_side_do_not_change_the_ratio() -> None:
    texture = np.full((SIZE, SIZE, 3), 120, np.uint8)
    texture[40:46, 60:66] = 20
    pixels, mirrored = mirrored_pairs()
    assert np.abs(estimate_light_ratios(texture, pixels, mirrored, pixels) - 1).max() < 0.05


def test_queries_outside_get_the_nearest_ratio_and_ratios_are_bounded() -> None:
    texture = np.full((SIZE, SIZE, 3), 250, np.uint8)
    texture[:, SIZE // 2 :] = 0
    pixels, mirrored = mirrored_pairs()
    far = np.array([[95.0, 0.0], [94.0, 95.0]])
    assert np.allclose(estimate_light_ratios(texture, pixels, mirrored, far), np.exp(-0.8))


def test_without_pairs_the_ratio_is_one() -> None:
    texture = np.full((SIZE, SIZE, 3), 9, np.uint8)
    empty = np.zeros((0, 2))
    assert np.array_equal(
        estimate_light_ratios(texture, empty, empty, np.array([[5.0, 5.0]])), np.ones((1, 3))
    )
