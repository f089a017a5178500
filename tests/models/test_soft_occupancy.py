import numpy as np
import pytest
import torch

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.face_solid import FaceSolid, build_face_solid, fill_soft_volume, solid_bounds
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.surface_depth import complete_surface_depth, measure_columns
from rayboot.models import soft_occupancy as module
from rayboot.models.soft_occupancy import soft_occupancy

SIZE, SHAPE, SCALE = 96, (96, 96, 96), 28.0


def solid() -> FaceSolid:
    model = load_head_model()
    return build_face_solid(
        model.mean, model.faces, model.mean[model.landmarks[:17]], 65 * SIZE / 192 / SCALE
    )


def crop_from_head() -> np.ndarray:
    affine = np.column_stack([SCALE * rotation_yaw_pitch(0.2, 0.1), [0.0, 12.0, 0.0]])
    affine[2, 3] -= solid_bounds(solid(), affine)[:, 2].mean()
    return affine


def depth_maps() -> torch.Tensor:
    soft = fill_soft_volume(solid(), crop_from_head(), SHAPE, width=4.0)
    depth = complete_surface_depth(measure_columns(soft - np.float32(0.5)), SIZE)
    return torch.from_numpy(np.stack(depth))[None]


def view(rotation: np.ndarray, scale: float = 1.0) -> np.ndarray:
    return np.column_stack([scale * rotation, [1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    "transform",
    [
        view(np.eye(3)),
        view(rotation_in_plane(0.2), 1.1),
        view(rotation_yaw_pitch(0.7, 0.0)),
        view(rotation_yaw_pitch(-1.05, 0.2), 1.05),
    ],
    ids=["identity", "in-plane", "yaw-40", "yaw-60"],
)
def test_turned_depth_maps_equal_the_turned_solid(transform: np.ndarray) -> None:
    volume = soft_occupancy(depth_maps(), transform[None], SHAPE, SIZE, softness=1.0)[0].numpy()
    affine = crop_from_head()
    composed = transform[:, :3] @ affine
    composed[:, 3] += transform[:, 3]
    true = fill_soft_volume(solid(), composed, SHAPE, width=1.0)
    overlap = ((volume >= 0.5) & (true >= 0.5)).sum() / ((volume >= 0.5) | (true >= 0.5)).sum()
    assert overlap > 0.985
    assert np.abs(volume - true).mean() < 0.003


def test_coarse_columns_are_those_of_the_middle() -> None:
    transform = view(rotation_yaw_pitch(0.5, 0.0))[None]
    fine = soft_occupancy(depth_maps(), transform, SHAPE, SIZE, 2.0)
    coarse = soft_occupancy(depth_maps(), transform, (96, 48, 48), SIZE, 2.0)
    pooled = torch.nn.functional.avg_pool2d(fine, 2)
    assert (coarse - pooled).abs().mean() < 0.004


def test_beyond_the_crop_nothing_is_occupied() -> None:
    everywhere = torch.tensor([10.0, -10.0, 4.0]).view(1, 3, 1, 1).expand(1, 3, 96, 96)
    far = np.column_stack([np.eye(3), [40.0, 0.0, 0.0]])[None]
    volume = soft_occupancy(everywhere.contiguous(), far, SHAPE, SIZE, 1.0)[0]
    # Four px inside the border, where the outline's distance in the maps ends.
    assert volume[..., :36].max() == 0 and volume[48, :, 46:].min() == 1


def test_columns_are_measured_as_without_torch() -> None:
    rng = np.random.default_rng(0)
    fields = rng.normal(-0.2, 1, (3, 20, 8, 8)).astype(np.float32)
    fields[0, :, 0, 0], fields[1, :, 0, 0] = 1.0, -1.0
    measured = module.measure_columns(torch.from_numpy(fields)).numpy()
    expected = np.stack([measure_columns(field) for field in fields])
    assert np.allclose(measured, expected, atol=1e-5)


def test_wrong_shapes_and_flat_transforms_are_refused() -> None:
    with pytest.raises(ShapeError, match="maps"):
        soft_occupancy(torch.zeros(2, 3, 8, 8), np.zeros((1, 3, 4)), SHAPE, SIZE, 1.0)
    with pytest.raises(DegenerateInputError):
        soft_occupancy(torch.zeros(1, 3, 8, 8), np.zeros((1, 3, 4)), SHAPE, SIZE, 1.0)
