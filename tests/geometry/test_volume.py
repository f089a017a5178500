import numpy as np
import pytest

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch, transform_points
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.volume import (
    clipped_fraction,
    coarsen,
    coarsen_mask,
    keep_largest_component,
    occupied_box,
    occupied_points,
    pack_occupancy,
    transform_volume,
    unpack_occupancy,
)
from tests.geometry.shapes import soft_sphere, voxel_points

SHAPE = (64, 64, 64)


def ellipsoid(shape, centre, rotation, radii):
    local = (voxel_points(shape) - centre) @ rotation
    return np.square(local / radii).sum(axis=-1) <= 1


def test_a_transformed_ellipsoid_matches_the_analytic_one():
    # Depth has twice the image scale, so rotating the indices would shear the shape.
    shape, radii = (96, 96, 96), np.array([20.0, 15.0, 10.0])
    rotation = rotation_yaw_pitch(0.6, -0.2)
    source = ellipsoid(shape, np.zeros(3), np.eye(3), radii)
    shift = np.array([3.0, -2.0, 1.0])
    transformed = transform_volume(source, np.column_stack([1.1 * rotation, shift]))
    truth = ellipsoid(shape, shift, rotation, 1.1 * radii)
    assert transformed.dtype == bool
    assert (transformed & truth).sum() / (transformed | truth).sum() > 0.97


def test_resampling_of_rows_equals_general_resampling():
    # A tiny pitch selects the general resampling.
    solid = soft_sphere(SHAPE, np.array([4.0, -3.0, 2.0]), 9) * np.linspace(0.5, 1, 64)
    shift = np.array([3.25, -2.5, 1.75])
    rotations = [rotation_yaw_pitch(0.7, pitch) for pitch in (0.0, 1e-7)]
    rows, general = (
        transform_volume(solid.astype(np.float32), np.column_stack([1.05 * rotation, shift]))
        for rotation in rotations
    )
    assert rows.max() > 0.7
    assert rows == pytest.approx(general, abs=1e-4)


def test_the_identity_transform_keeps_the_volume():
    volume = soft_sphere(SHAPE, np.array([2.0, 1.0, 0.0]), 9)
    assert transform_volume(volume, np.eye(3, 4)) == pytest.approx(volume, abs=1e-6)


def test_a_singular_transform_is_refused():
    with pytest.raises(DegenerateInputError, match="flattens"):
        transform_volume(np.zeros(SHAPE, bool), np.zeros((3, 4)))
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        transform_volume(np.zeros(SHAPE, bool), np.eye(4))


def test_half_of_a_sphere_moved_to_the_border_is_clipped():
    sphere = soft_sphere(SHAPE, np.zeros(3), 9) >= 0.5
    to_border = np.column_stack([np.eye(3), [32.0, 0, 0]])
    coarse, full = occupied_points(sphere, 2), occupied_points(sphere, 1)
    assert clipped_fraction(full, np.eye(3, 4), SHAPE) == 0
    assert clipped_fraction(full, to_border, SHAPE) == pytest.approx(0.5, abs=0.02)
    assert clipped_fraction(coarse, to_border, SHAPE) == pytest.approx(0.5, abs=0.06)
    assert clipped_fraction(coarse[:0], to_border, SHAPE) == 0


def test_packed_occupancy_round_trip():
    rng = np.random.default_rng(0)
    for shape in ((3, 5, 7), (8, 8, 8)):
        occupied = rng.random(shape) < 0.3
        assert (unpack_occupancy(pack_occupancy(occupied), shape) == occupied).all()


def test_a_payload_of_another_shape_is_refused():
    payload = pack_occupancy(np.ones((8, 8, 8), bool))
    with pytest.raises(ShapeError):
        unpack_occupancy(payload, (9, 9, 9))
    with pytest.raises(ShapeError):
        unpack_occupancy(b"not compressed", (8, 8, 8))


def test_small_components_are_emptied_and_a_single_one_is_kept():
    sphere = soft_sphere(SHAPE, np.zeros(3), 9)
    small = soft_sphere(SHAPE, np.array([25.0, 25.0, 10.0]), 3)
    cleaned = keep_largest_component(np.maximum(sphere, small))
    assert np.abs(extract_surface(cleaned).vertices).max() < 9.5
    assert keep_largest_component(sphere) is sphere


def test_coarse_cells_are_means_of_their_voxels():
    volume = np.random.default_rng(0).random((9, 5, 6)).astype(np.float32)
    cells = coarsen(volume, 2)
    assert cells.shape == (3, 3, 3)
    assert cells[0, 1, 2] == pytest.approx(volume[:4, 2:4, 4:6].mean())
    # Voxels beyond the end count as empty.
    assert cells[2, 2, 0] == pytest.approx(volume[8, 4, :2].sum() / 16)
    assert coarsen(volume, 0) is volume
    assert np.array_equal(coarsen_mask(volume > 0.9, 2), coarsen(volume > 0.9, 2) > 0)


def test_the_occupied_box_is_tight():
    occupied = np.zeros(SHAPE, bool)
    occupied[3:9, 10:12, 20:40] = True
    assert occupied_box(occupied) == (slice(3, 9), slice(10, 12), slice(20, 40))
    with pytest.raises(DegenerateInputError, match="empty"):
        occupied_box(np.zeros(SHAPE, bool))


def test_a_transform_moves_the_centroid():
    volume = soft_sphere(SHAPE, np.array([4.0, -5.0, 3.0]), 8)
    transform = np.column_stack([rotation_yaw_pitch(0.4, 0.3), [1.0, 2.0, -1.0]])
    centre = extract_surface(transform_volume(volume, transform)).vertices.mean(axis=0)
    assert centre == pytest.approx(transform_points(transform, [[4, -5, 3]])[0], abs=0.1)
