import numpy as np
import pytest

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.crop import apply_affine, invert_affine, landmark_crop, warp_photo


def landmarks(seed=0):
    return np.random.default_rng(seed).uniform((100, 60), (180, 150), (68, 2))


@pytest.mark.parametrize("size", [96, 192])
def test_bounding_box_and_mean_of_the_cropped_landmarks(size):
    cropped = apply_affine(landmark_crop(landmarks(), size), landmarks())
    assert np.sqrt(np.ptp(cropped, axis=0).prod()) == pytest.approx(90 * size / 192)
    assert cropped.mean(axis=0) == pytest.approx([(size - 1) / 2] * 2)


def test_inverted_affine_restores_the_points():
    affine = landmark_crop(landmarks(), 96)
    restored = apply_affine(invert_affine(affine), apply_affine(affine, landmarks()))
    assert restored == pytest.approx(landmarks())


def test_landmarks_without_area_are_refused():
    with pytest.raises(DegenerateInputError, match="no area"):
        landmark_crop(np.ones((68, 2)), 96)
    with pytest.raises(ShapeError):
        landmark_crop(np.full((68, 2), np.nan), 96)


@pytest.mark.parametrize("reduction", [1, 2, 3.7, 8])
def test_a_disc_moves_as_the_affine_at_every_reduction(reduction):
    side = int(96 * reduction)
    rows, columns = np.mgrid[:side, :side]
    centre = np.array([0.37 * side, 0.61 * side])
    disc = np.hypot(columns - centre[0], rows - centre[1]) < 0.1 * side
    photo = np.repeat((255 * disc[..., None]).astype(np.uint8), 3, axis=2)
    affine = np.array([[1 / reduction, 0, 2.0], [0, 1 / reduction, -3.0]])
    crop = warp_photo(photo, affine, 96)[..., 0].astype(float)
    mass = crop / crop.sum()
    centroid = [(mass * np.arange(96)).sum(), (mass * np.arange(96)[:, None]).sum()]
    assert centroid == pytest.approx(apply_affine(affine, centre[None])[0], abs=0.15)
