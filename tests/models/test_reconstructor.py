"""What the bootstrap holds on to, for every kind of network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.models import (
    HeadConfig,
    InferenceConfig,
    NetworkConfig,
    Reconstructor,
    VRNConfig,
    load_network,
    make_network,
    save_network,
)
from rayboot.models.compression import pack_bits
from rayboot.models.predictor import Predictor

VRN_SIZES = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)
HEAD_SIZES = HeadConfig(channels=(16, 16, 16, 16, 16), features=32)
SHAPE = (96, 96, 96)
IMAGES = np.random.default_rng(3).integers(0, 256, (4, 96, 96, 3), np.uint8)


@pytest.fixture(params=[VRN_SIZES, HEAD_SIZES], ids=["vrn", "head"])
def network(request: pytest.FixtureRequest) -> Reconstructor:
    torch.manual_seed(1)
    network = make_network(request.param)
    # Fresh layers say little: what they say shall differ from face to face.
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1:]
    for layer in last:
        torch.nn.init.normal_(layer.weight, std=0.05)
    return network.eval()


def estimate(network: Reconstructor) -> torch.Tensor:
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return network(images, raw=True)


def targets(network: Reconstructor) -> torch.Tensor:
    """What a pairs data set would keep of the network's own shapes, decoded."""
    made = estimate(network)
    kept = network.encode(made)
    if kept is None:
        # Smooth blobs, since the bits of fresh layers are noise.
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 96)] * 3, indexing="ij"))
        centres = 0.2 * torch.arange(4)[:, None, None, None]
        volumes = (grid[0] ** 2 + grid[1] ** 2 + (grid[2] - centres) ** 2 < 0.3).float()
        return pack_bits(volumes, 0.5)
    return torch.from_numpy(np.stack([network.decode(row, SHAPE) for row in kept]))


def turns(yaw_deg: float) -> np.ndarray:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)
    return np.tile(np.hstack([rotation, [[1.0], [-2.0], [0.5]]]), (4, 1, 1))


def as_volumes(network: Reconstructor, turned: torch.Tensor) -> torch.Tensor:
    return turned if turned.dtype == torch.bool else network.occupancy(turned) >= 0.5


def test_weights_come_back_as_the_network_they_were(network: Reconstructor, tmp_path: Path) -> None:
    save_network(network, tmp_path / "weights.safetensors")
    loaded = load_network(tmp_path / "weights.safetensors")
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert torch.equal(estimate(loaded), estimate(network))


def test_shapes_are_volumes(network: Reconstructor) -> None:
    volumes = network.occupancy(estimate(network))
    assert volumes.shape == (4, *SHAPE)
    assert volumes.dtype == torch.float32
    assert 0 <= volumes.min() < volumes.max() <= 1


def test_the_predictor_hands_on_shapes_and_targets(network: Reconstructor) -> None:
    predictor = Predictor(network, InferenceConfig(precision="float32"), batch_size=3)
    small = predictor.predict_compressed(IMAGES, 0.5, 1)
    volumes = predictor.predict(IMAGES)
    assert (small.bits != np.packbits(volumes >= 0.5, axis=-1)).mean() < 1e-3
    kept = network.encode(estimate(network))
    if kept is None:
        assert small.targets == [None] * 4
        return
    for payload, expected in zip(small.targets, kept, strict=True):
        assert payload is not None
        moved = network.decode(payload, SHAPE) - network.decode(expected, SHAPE)
        assert np.abs(moved).max() < 1e-3


def test_what_is_kept_is_decoded_or_refused(network: Reconstructor) -> None:
    kept = network.encode(estimate(network))
    if kept is not None:
        decoded = torch.from_numpy(np.stack([network.decode(row, SHAPE) for row in kept]))
        assert torch.equal(decoded, estimate(network))
    with pytest.raises(ShapeError):
        network.decode(b"nothing", SHAPE)


def test_no_turn_leaves_a_target(network: Reconstructor) -> None:
    still = np.tile(np.eye(3, 4), (4, 1, 1))
    kept = targets(network)
    turned = network.transform_targets(kept, still)
    if turned.dtype == torch.bool:
        assert torch.equal(pack_bits(turned.float(), 0.5), kept)
    else:
        assert torch.allclose(turned, kept, atol=1e-5)


def test_a_target_turns_as_its_volume_does(network: Reconstructor) -> None:
    """Twenty degrees; a volume that is turned as voxels agrees with one turned exactly."""
    from rayboot.geometry.volume import transform_volume

    kept = targets(network)
    # To the middle of the depth first, where the volume cuts off nothing.
    still = np.tile(np.eye(3, 4), (4, 1, 1))
    bare = as_volumes(network, network.transform_targets(kept, still))
    slices = torch.stack([volume.flatten(1).any(1).nonzero().float().mean() for volume in bare])
    still[:, 2, 3] = (47.5 - slices.numpy()) / 2
    before = as_volumes(network, network.transform_targets(kept, still))
    moved = turns(20.0) @ np.concatenate([still, np.tile([[[0, 0, 0, 1.0]]], (4, 1, 1))], axis=1)
    after = as_volumes(network, network.transform_targets(kept, moved))
    for source, turned, transform in zip(before, after, turns(20.0), strict=True):
        expected = transform_volume(source.float().numpy(), transform) >= 0.5
        union = (expected | turned.numpy()).sum()
        assert (expected & turned.numpy()).sum() / union > 0.97


def test_a_mirrored_target_is_the_mirrored_volume(network: Reconstructor) -> None:
    turned = network.transform_targets(targets(network), turns(20.0))
    mirrored = network.mirror(turned)
    assert torch.equal(network.mirror(mirrored), turned)
    expected, made = as_volumes(network, turned).flip(-1), as_volumes(network, mirrored)
    overlap = (expected & made).sum(dim=(1, 2, 3)) / (expected | made).sum(dim=(1, 2, 3))
    # The head model is symmetric but for its thinned triangles.
    assert overlap.min() > 0.97


def test_the_loss_falls_towards_the_target(network: Reconstructor) -> None:
    made, wanted = estimate(network), network.transform_targets(targets(network), turns(20.0))
    goal = wanted if wanted.dtype != torch.bool else 20 * (wanted.float() - 0.5)
    halfway = (made + goal) / 2
    losses = [float(network.loss(step, wanted)) for step in (made, halfway, goal)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 1e-3
    assert float(network.iou(goal, wanted).min()) > 0.99


def test_weights_of_samples_count(network: Reconstructor) -> None:
    made, wanted = (
        estimate(network).requires_grad_(),
        network.transform_targets(targets(network), turns(20.0)),
    )
    alone = torch.stack([network.loss(made[i : i + 1], wanted[i : i + 1]) for i in range(4)])
    weights = torch.tensor([0.0, 1.0, 2.0, 0.5])
    weighted = network.loss(made, wanted, weights)
    assert weighted.item() == pytest.approx((alone * weights).mean().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(weighted, made)
    (expected,) = torch.autograd.grad((alone * weights).mean(), made)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-9)
    assert not gradient[0].any()


@pytest.mark.parametrize("config", [VRN_SIZES, HEAD_SIZES], ids=["vrn", "head"])
def test_images_of_another_shape_are_refused(config: NetworkConfig) -> None:
    with pytest.raises(ShapeError, match=r"\(B, 3, 96, 96\)"):
        make_network(config)(torch.zeros(1, 3, 64, 64))
