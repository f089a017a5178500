"""Properties of rotations, crops and volumes that hold for every input, checked on drawn ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayboot.geometry.camera import (
    crop_from_voxel,
    gaze_angles,
    rotation_yaw_pitch,
    transform_points,
    voxel_from_crop,
)
from rayboot.geometry.crop import apply_affine, invert_affine, landmark_crop, resize_crop
from rayboot.geometry.volume import pack_occupancy, transform_volume, unpack_occupancy

# Derandomised: the examples depend on the test alone, so runs are reproducible.
fast = settings(derandomize=True, deadline=None, max_examples=50)

angles = st.floats(-np.pi, np.pi)
shifts = st.floats(-500, 500)
scales = st.floats(0.1, 10)
sizes = st.integers(32, 256)
seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(*[st.integers(1, 12)] * 3)


def similarity(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    """Returns the similarity (2, 3) of a scale, a rotation angle and a translation."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def draw_landmarks(seed: int) -> np.ndarray:
    """Returns landmarks (68, 2) of a photo, whose bounding box has an area."""
    rng = np.random.default_rng(seed)
    return rng.uniform(20, 400, 2) + rng.uniform(10, 200, 2) * rng.random((68, 2))


@fast
@given(yaw=angles, pitch=angles)
def test_rotations_are_orthonormal_and_proper(yaw: float, pitch: float) -> None:
    rotation = rotation_yaw_pitch(yaw, pitch)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


@fast
@given(yaw=st.floats(-1.55, 1.55), pitch=st.floats(-3.1, 3.1), length=scales)
def test_gaze_angles_invert_rotations(yaw: float, pitch: float, length: float) -> None:
    gaze = length * rotation_yaw_pitch(yaw, pitch)[:, 2]
    assert gaze_angles(gaze) == pytest.approx((yaw, pitch), abs=1e-9)


@fast
@given(scale=scales, angle=angles, shift=st.tuples(shifts, shifts), seed=seeds)
def test_inverted_affines_restore_points(
    scale: float, angle: float, shift: tuple[float, float], seed: int
) -> None:
    affine, points = similarity(scale, angle, shift), draw_landmarks(seed)
    restored = apply_affine(invert_affine(affine), apply_affine(affine, points))
    assert restored == pytest.approx(points, abs=1e-8)
    assert invert_affine(invert_affine(affine)) == pytest.approx(affine, abs=1e-8)


@fast
@given(seed=seeds, size=sizes)
def test_landmark_crops_are_similarities_without_rotation(seed: int, size: int) -> None:
    affine = landmark_crop(draw_landmarks(seed), size)
    assert affine[:, :2] == pytest.approx(affine[0, 0] * np.eye(2))
    assert affine[0, 0] > 0


@fast
@given(seed=seeds, size=sizes, scale=scales, shift=st.tuples(shifts, shifts))
def test_landmark_crops_ignore_scale_and_position_of_the_photo(
    seed: int, size: int, scale: float, shift: tuple[float, float]
) -> None:
    landmarks = draw_landmarks(seed)
    moved = apply_affine(similarity(scale, 0.0, shift), landmarks)
    cropped = apply_affine(landmark_crop(landmarks, size), landmarks)
    assert apply_affine(landmark_crop(moved, size), moved) == pytest.approx(cropped, abs=1e-7)


@fast
@given(seed=seeds, size=sizes, quarter_turns=st.integers(0, 3))
def test_landmark_crops_rotate_with_quarter_turns_of_the_photo(
    seed: int, size: int, quarter_turns: int
) -> None:
    # Only these rotations map the axis-aligned bounding box to itself.
    landmarks = draw_landmarks(seed)
    rotation = similarity(1.0, quarter_turns * np.pi / 2, (0.0, 0.0))
    rotated = apply_affine(rotation, landmarks)
    middle = (size - 1) / 2
    cropped = apply_affine(landmark_crop(landmarks, size), landmarks) - middle
    rotated_crop = apply_affine(landmark_crop(rotated, size), rotated) - middle
    assert rotated_crop == pytest.approx(apply_affine(rotation, cropped), abs=1e-7)


@fast
@given(seed=seeds, size=sizes, new_size=sizes)
def test_resized_crops_are_crops_of_the_new_size(seed: int, size: int, new_size: int) -> None:
    landmarks = draw_landmarks(seed)
    resized = resize_crop(landmark_crop(landmarks, size), size, new_size)
    assert resized == pytest.approx(landmark_crop(landmarks, new_size), abs=1e-8)


@fast
@given(shape=shapes, seed=seeds)
def test_voxel_and_frame_coordinates_are_inverse(shape: tuple[int, int, int], seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 50, (10, 3))
    voxels = transform_points(voxel_from_crop(shape), points)
    assert transform_points(crop_from_voxel(shape), voxels) == pytest.approx(points, abs=1e-9)


@fast
@given(shape=shapes, seed=seeds, density=st.floats(0, 1))
def test_packed_occupancy_is_restored(
    shape: tuple[int, int, int], seed: int, density: float
) -> None:
    occupied = np.random.default_rng(seed).random(shape) < density
    restored = unpack_occupancy(pack_occupancy(occupied), shape)
    assert restored.dtype == bool
    assert np.array_equal(restored, occupied)


@fast
@given(shape=shapes, seed=seeds, density=st.floats(0, 1))
def test_the_identity_transform_keeps_volumes(
    shape: tuple[int, int, int], seed: int, density: float
) -> None:
    volume = np.random.default_rng(seed).random(shape, np.float32)
    assert transform_volume(volume, np.eye(3, 4)) == pytest.approx(volume, abs=1e-5)
    occupied = volume < density
    assert np.array_equal(transform_volume(occupied, np.eye(3, 4)), occupied)
