import numpy as np
import pytest

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.surface_depth import (
    MAX_OUTLINE_DISTANCE,
    complete_surface_depth,
    measure_columns,
    pack_surface_depth,
    unpack_surface_depth,
)
from tests.geometry.shapes import voxel_points

SHAPE = (80, 48, 48)
CENTRE, RADIUS = np.array([1.3, -2.1, 0.4]), 14.0


def sphere_field() -> np.ndarray:
    """Distance (D, H, W) to a sphere's surface, px, positive inside."""
    return RADIUS - np.linalg.norm(voxel_points(SHAPE) - CENTRE, axis=-1)


def columns_of_sphere() -> tuple[np.ndarray, np.ndarray]:
    """Distance (H, W) of the columns to the sphere's axis, and half the length inside."""
    plane = voxel_points(SHAPE)[0, ..., :2] - CENTRE[:2]
    distance = np.linalg.norm(plane, axis=-1)
    return distance, np.sqrt(np.maximum(RADIUS**2 - distance**2, 0))


def test_depths_lie_between_the_slices() -> None:
    depth = complete_surface_depth(measure_columns(sphere_field()), SHAPE[2])
    distance, half = columns_of_sphere()
    # Beside the rim, where the sphere is steep, the field is curved within a slice.
    inner = distance < 0.9 * RADIUS
    assert np.abs(depth.front - (CENTRE[2] + half))[inner].max() < 0.05
    assert np.abs(depth.back - (CENTRE[2] - half))[inner].max() < 0.05


def test_the_outline_lies_between_the_pixels() -> None:
    depth = complete_surface_depth(measure_columns(sphere_field()), SHAPE[2])
    distance, _ = columns_of_sphere()
    near = np.abs(RADIUS - distance) < MAX_OUTLINE_DISTANCE - 0.5
    assert np.abs(depth.outline - (RADIUS - distance))[near].max() < 0.3
    assert np.abs(depth.outline).max() == MAX_OUTLINE_DISTANCE


def test_maps_continue_beyond_the_outline() -> None:
    depth = complete_surface_depth(measure_columns(sphere_field()), SHAPE[2])
    distance, _ = columns_of_sphere()
    outside = distance > RADIUS + 1
    assert np.abs(depth.front[outside] - CENTRE[2]).max() < 0.5 * RADIUS
    assert np.isfinite(np.stack(depth)).all()


def test_a_solid_that_reaches_the_borders_ends_half_a_slice_beyond() -> None:
    columns = measure_columns(np.ones((10, 4, 4)))
    assert np.allclose(columns[0], 2.5) and np.allclose(columns[1], -2.5)


def test_maps_are_stored_in_steps_of_a_64th_pixel() -> None:
    depth = complete_surface_depth(measure_columns(sphere_field()), SHAPE[2])
    payload = pack_surface_depth(depth)
    assert np.abs(unpack_surface_depth(payload, SHAPE[2]) - np.stack(depth)).max() <= 0.5 / 64
    # Maps of half the crop's resolution as well.
    half = complete_surface_depth(measure_columns(sphere_field()[:, ::2, ::2]), SHAPE[2])
    assert unpack_surface_depth(pack_surface_depth(half), SHAPE[2]).shape == (3, 24, 24)


def test_other_payloads_are_refused() -> None:
    depth = complete_surface_depth(measure_columns(sphere_field()), SHAPE[2])
    with pytest.raises(ShapeError, match=r"\(3, 64, 64\)"):
        unpack_surface_depth(pack_surface_depth(depth), 64)
    with pytest.raises(ShapeError):
        unpack_surface_depth(b"no maps", SHAPE[2])


def test_an_empty_solid_has_no_depths() -> None:
    with pytest.raises(DegenerateInputError, match="empty"):
        complete_surface_depth(measure_columns(-np.ones((8, 4, 4))), 4)
