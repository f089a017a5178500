import numpy as np

from rayboot.render.interpolation import sample_bilinear
from tests.render.solids import SIZE, smooth_photo


def test_images_are_interpolated_between_pixels() -> None:
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    photo[:, :] = np.arange(SIZE)[None, :, None]
    colors = sample_bilinear(photo, np.array([[47.5, 40.0], [58.0, 3.25], [-9.0, 5.0]]))
    assert np.allclose(colors, np.array([47.5, 58.0, 0.0])[:, None], atol=0.05)
    assert sample_bilinear(photo, np.zeros((0, 2))).shape == (0, 3)


def test_more_points_than_opencv_accepts_rows_are_sampled() -> None:
    photo = smooth_photo(2)
    pixels = np.array([[10.5, 3.0], [20.25, 8.0]])
    colors = sample_bilinear(photo, np.tile(pixels, (40_001, 1)))
    assert colors.shape == (80_002, 3)
    assert np.array_equal(colors, np.tile(sample_bilinear(photo, pixels), (40_001, 1)))
