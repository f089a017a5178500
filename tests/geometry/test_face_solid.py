import numpy as np
import pytest
from scipy import ndimage

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.face_solid import FaceSolid, build_face_solid, fill_soft_volume, fill_volume
from rayboot.geometry.head_model import load_head_model

SHAPE = (96, 96, 96)
SCALE = 28.0


@pytest.fixture(scope="module")
def solid() -> FaceSolid:
    model = load_head_model()
    jaw = model.mean[model.landmarks[:17]]
    return build_face_solid(model.mean, model.faces, jaw, depth=32.5 / SCALE)


def affine(yaw_deg: float) -> np.ndarray:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)
    return np.column_stack([SCALE * rotation, [1.0, 9.0, 3.0]])


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0])
def test_soft_volume_thresholded_at_a_half_is_the_hard_volume(
    solid: FaceSolid, yaw_deg: float
) -> None:
    hard = fill_volume(solid, affine(yaw_deg), SHAPE)
    soft = fill_soft_volume(solid, affine(yaw_deg), SHAPE)
    assert hard.sum() > 50_000
    assert ((soft >= 0.5) != hard).mean() < 1e-5
    assert soft.dtype == np.float32 and soft.min() == 0 and soft.max() == 1


def test_soft_volume_has_subvoxel_thickness(solid: FaceSolid) -> None:
    """The thickness at each pixel, summed from occupancy, is far more exact than half a slice."""
    transform = np.column_stack([SCALE * np.eye(3), [0.0, 9.0, 3.0]])
    cells = depth_map_cells(solid, transform)
    thickness = SCALE * (ndimage.map_coordinates(solid.depth, cells, order=1) - solid.back)
    errors = {
        fill.__name__: np.abs(fill(solid, transform, SHAPE).sum(axis=0) / 2 - thickness)
        for fill in (fill_volume, fill_soft_volume)
    }
    well_inside = np.hypot(*(cells - 55.5)) < 48
    assert well_inside.sum() > 1000
    soft, hard = (
        np.median(errors[name][well_inside]) for name in ("fill_soft_volume", "fill_volume")
    )
    assert soft < 0.02 < 0.1 < hard


def depth_map_cells(solid: FaceSolid, transform: np.ndarray) -> np.ndarray:
    """Returns row and column in the depth map (2, S, S) of every pixel of a frontal head."""
    rows, columns = np.mgrid[:96, :96]
    x, y = columns - 47.5 - transform[0, 3], 47.5 - rows - transform[1, 3]
    return np.stack(
        [
            (y / SCALE - solid.low[1]) / solid.step[1],
            (x / SCALE - solid.low[0]) / solid.step[0],
        ]
    )


def test_a_solid_outside_the_crop_leaves_the_volume_empty(solid: FaceSolid) -> None:
    moved = affine(0.0)
    moved[0, 3] += 200
    assert not fill_soft_volume(solid, moved, SHAPE).any()
