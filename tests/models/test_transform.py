import numpy as np
import pytest
import torch

import rayboot.models.transform
from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import transform_volume
from rayboot.models.transform import transform_volumes, unpack_bits, unpack_on_device

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPE = (40, 48, 32)


def blobs(count: int) -> np.ndarray:
    """Returns smooth asymmetric solids, one of them cut by the volume's border."""
    rng = np.random.default_rng(2)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    volumes = np.zeros((count, *SHAPE), bool)
    for volume in volumes:
        for _ in range(4):
            centre, radii = rng.uniform(0.25, 0.8, 3) * SHAPE, rng.uniform(5, 12, 3)
            volume |= (np.square((index - centre) / radii).sum(axis=-1)) < 1
    return volumes


def draw_transforms(count: int, pitch: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    transforms = np.zeros((count, 3, 4))
    for transform in transforms:
        rotation = rotation_yaw_pitch(rng.uniform(-1, 1), pitch * rng.uniform(-0.5, 0.5))
        transform[:, :3] = rng.uniform(0.8, 1.2) * rotation
        transform[:, 3] = rng.uniform(-4, 4, 3)
    return transforms


@pytest.mark.parametrize("device", DEVICES)
def test_packed_bits_are_unpacked(device: str) -> None:
    volumes = blobs(3)
    bits = torch.from_numpy(np.packbits(volumes, axis=-1)).to(device)
    assert np.array_equal(unpack_bits(bits).cpu().numpy(), volumes)


def test_packed_bits_are_unpacked_with_operations_of_any_device() -> None:
    volumes = blobs(3)
    bits = torch.from_numpy(np.packbits(volumes, axis=-1))
    assert torch.equal(unpack_on_device(bits), torch.from_numpy(volumes))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pitch", [0.0, 1.0])
def test_batches_are_transformed_like_single_volumes(device: str, pitch: float) -> None:
    volumes, affines = blobs(6), draw_transforms(6, pitch)
    transformed = transform_volumes(torch.from_numpy(volumes).to(device), affines).cpu().numpy()
    soft = np.stack(
        [transform_volume(v.astype(np.float32), t) for v, t in zip(volumes, affines, strict=True)]
    )
    expected = soft >= 0.5
    assert expected.any(axis=(1, 2, 3)).all()
    assert (transformed != expected).mean() < 1e-4
    # They differ only where rounding decides.
    assert np.abs(soft[transformed != expected] - 0.5).max(initial=0.0) < 1e-4


def test_a_batch_may_mix_kinds_of_rotations() -> None:
    volumes = blobs(4)
    affines = np.stack([np.eye(3, 4), *draw_transforms(2, 0.0), *draw_transforms(1, 1.0)])
    transformed = transform_volumes(torch.from_numpy(volumes), affines)
    assert np.array_equal(transformed[0].numpy(), volumes[0])
    for index in range(4):
        volume = torch.from_numpy(volumes[index : index + 1])
        single = transform_volumes(volume, affines[index, None])
        assert torch.equal(single[0], transformed[index])


@pytest.mark.parametrize("pitch", [0.0, 1.0])
def test_whole_volumes_are_transformed_as_their_boxes_are(
    monkeypatch: pytest.MonkeyPatch, pitch: float
) -> None:
    volumes, affines = torch.from_numpy(blobs(6)), draw_transforms(6, pitch)
    by_boxes = transform_volumes(volumes, affines)
    whole = tuple(slice(0, length) for length in SHAPE)
    # As on a GPU, where finding the boxes would wait for the volumes.
    monkeypatch.setattr(rayboot.models.transform, "_boxes", lambda *_: (whole, whole))
    assert torch.equal(transform_volumes(volumes, affines), by_boxes)


def test_no_value_of_a_volume_is_read_on_the_host() -> None:
    # Tensors without data refuse every operation that would have to wait for a device.
    volumes = torch.zeros((3, *SHAPE), dtype=torch.bool, device="meta")
    affines = np.concatenate([draw_transforms(2, 0.0), draw_transforms(1, 1.0)])
    assert transform_volumes(volumes, affines).shape == volumes.shape


def test_an_empty_batch_gives_an_empty_batch() -> None:
    empty = torch.zeros((0, *SHAPE), dtype=torch.bool)
    assert transform_volumes(empty, np.zeros((0, 3, 4))).shape == (0, *SHAPE)


def test_input_is_checked() -> None:
    volumes = torch.from_numpy(blobs(2))
    with pytest.raises(ShapeError, match=r"\(B, 3, 4\)"):
        transform_volumes(volumes, np.zeros((3, 3, 4)))
    with pytest.raises(DegenerateInputError, match="no inverse"):
        transform_volumes(volumes, np.zeros((2, 3, 4)))
