import numpy as np
import pytest
import torch

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import transform_volume
from rayboot.models.transform import transform_volumes, unpack_bits

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPE = (40, 48, 32)


def blobs(count: int) -> np.ndarray:
    """Smooth solids without any symmetry, one of them cut by the volume's edge."""
    rng = np.random.default_rng(2)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    volumes = np.zeros((count, *SHAPE), bool)
    for volume in volumes:
        for _ in range(4):
            centre, radii = rng.uniform(0.25, 0.8, 3) * SHAPE, rng.uniform(5, 12, 3)
            volume |= (np.square((index - centre) / radii).sum(axis=-1)) < 1
    return volumes


def transforms(count: int, pitch: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    made = np.zeros((count, 3, 4))
    for transform in made:
        rotation = rotation_yaw_pitch(rng.uniform(-1, 1), pitch * rng.uniform(-0.5, 0.5))
        transform[:, :3] = rng.uniform(0.8, 1.2) * rotation
        transform[:, 3] = rng.uniform(-4, 4, 3)
    return made


@pytest.mark.parametrize("device", DEVICES)
def test_bits_are_unpacked(device: str) -> None:
    volumes = blobs(3)
    bits = torch.from_numpy(np.packbits(volumes, axis=-1)).to(device)
    assert np.array_equal(unpack_bits(bits).cpu().numpy(), volumes)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pitch", [0.0, 1.0])
def test_volumes_turn_as_they_do_one_by_one(device: str, pitch: float) -> None:
    volumes, turns = blobs(6), transforms(6, pitch)
    turned = transform_volumes(torch.from_numpy(volumes).to(device), turns).cpu().numpy()
    soft = np.stack(
        [transform_volume(v.astype(np.float32), t) for v, t in zip(volumes, turns, strict=True)]
    )
    expected = soft >= 0.5
    assert expected.any(axis=(1, 2, 3)).all()
    assert (turned != expected).mean() < 1e-4
    # Only where rounding decides.
    assert np.abs(soft[turned != expected] - 0.5).max(initial=0.0) < 1e-4


def test_a_batch_may_mix_all_kinds_of_turns() -> None:
    volumes = blobs(4)
    turns = np.stack([np.eye(3, 4), *transforms(2, 0.0), *transforms(1, 1.0)])
    turned = transform_volumes(torch.from_numpy(volumes), turns)
    assert np.array_equal(turned[0].numpy(), volumes[0])
    for place in range(4):
        alone = transform_volumes(torch.from_numpy(volumes[place : place + 1]), turns[place, None])
        assert torch.equal(alone[0], turned[place])


def test_nothing_gives_nothing() -> None:
    empty = torch.zeros((0, *SHAPE), dtype=torch.bool)
    assert transform_volumes(empty, np.zeros((0, 3, 4))).shape == (0, *SHAPE)


def test_input_is_checked() -> None:
    volumes = torch.from_numpy(blobs(2))
    with pytest.raises(ShapeError, match=r"\(B, 3, 4\)"):
        transform_volumes(volumes, np.zeros((3, 3, 4)))
    with pytest.raises(DegenerateInputError, match="no inverse"):
        transform_volumes(volumes, np.zeros((2, 3, 4)))
