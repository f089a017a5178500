import numpy as np
import pytest

from rayboot.geometry.camera import (
    crop_from_pixel,
    crop_from_voxel,
    gaze_angles,
    pixel_from_crop,
    rotation_yaw_pitch,
    transform_points,
    voxel_from_crop,
)


def test_positive_yaw_turns_the_nose_to_the_viewers_right():
    assert rotation_yaw_pitch(0.3, 0.0) @ [0, 0, 1] == pytest.approx([np.sin(0.3), 0, np.cos(0.3)])


def test_positive_pitch_turns_the_nose_up():
    assert (rotation_yaw_pitch(0.0, 0.2) @ [0, 0, 1])[1] == pytest.approx(np.sin(0.2))


def test_yaw_comes_before_pitch():
    both = rotation_yaw_pitch(0.3, 0.2)
    assert np.allclose(both, rotation_yaw_pitch(0, 0.2) @ rotation_yaw_pitch(0.3, 0))
    assert np.linalg.det(both) == pytest.approx(1)


@pytest.mark.parametrize("yaw", [-1.4, -0.3, 0.0, 0.5, 1.4])
@pytest.mark.parametrize("pitch", [-0.5, 0.0, 0.7])
def test_gaze_angles_invert_the_rotation(yaw, pitch):
    gaze = rotation_yaw_pitch(yaw, pitch) @ [0, 0, 1]
    assert gaze_angles(gaze) == pytest.approx((yaw, pitch))


def test_corner_voxels_have_the_documented_coordinates():
    shape = (200, 192, 190)
    points = transform_points(crop_from_voxel(shape), [[0, 0, 0], [199, 191, 189]])
    assert points == pytest.approx(np.array([[-94.5, 95.5, -49.75], [94.5, -95.5, 49.75]]))


def test_voxel_and_pixel_conversions_are_invertible():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3)) * 30
    voxels = transform_points(voxel_from_crop((96, 80, 64)), points)
    assert np.allclose(transform_points(crop_from_voxel((96, 80, 64)), voxels), points)
    pixels = pixel_from_crop(points, 64, 80)
    assert np.allclose(voxels[:, 2], pixels[:, 0]) and np.allclose(voxels[:, 1], pixels[:, 1])
    assert np.allclose(crop_from_pixel(pixels, 64, 80), points[:, :2])
