"""The interface of networks, checked for every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import ShapeError
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.surface_depth import complete_surface_depth, measure_columns
from rayboot.geometry.volume import transform_volume
from rayboot.models import (
    HeadConfig,
    InferenceConfig,
    NetworkConfig,
    Reconstructor,
    UNetConfig,
    VRNConfig,
    load_network,
    make_network,
    save_network,
)
from rayboot.models.compression import pack_bits
from rayboot.models.predictor import Predictor

VRN_SIZES = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)
UNET_SIZES = UNetConfig(slices=96, channels=(16, 16, 32), num_blocks=1, head_channels=32)
HEAD_SIZES = HeadConfig(channels=(16, 16, 16, 16, 16), features=32)
SHAPE = (96, 96, 96)
IMAGES = np.random.default_rng(3).integers(0, 256, (4, 96, 96, 3), np.uint8)


@pytest.fixture(params=[VRN_SIZES, UNET_SIZES, HEAD_SIZES], ids=["vrn", "unet", "head"])
def network(request: pytest.FixtureRequest) -> Reconstructor:
    torch.manual_seed(1)
    network = make_network(request.param)
    # Initial layers output little; larger weights make the shapes differ from face to face.
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1:]
    for layer in last:
        torch.nn.init.normal_(layer.weight, std=0.05)
    return network.eval()


def estimate(network: Reconstructor) -> torch.Tensor:
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return network(images, raw=True)


def targets(network: Reconstructor) -> torch.Tensor:
    """Returns the targets that a pairs data set would store of the network's own shapes."""
    payloads = network.encode(estimate(network))
    if payloads is None:
        # Smooth blobs, because the bits of untrained layers are noise.
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 96)] * 3, indexing="ij"))
        centres = 0.2 * torch.arange(4)[:, None, None, None]
        volumes = (grid[0] ** 2 + grid[1] ** 2 + (grid[2] - centres) ** 2 < 0.3).float()
        if network.target_kind == "occupancy":
            return pack_bits(volumes, 0.5)
        maps = [
            complete_surface_depth(measure_columns(volume - 0.5), 96) for volume in volumes.numpy()
        ]
        return torch.from_numpy(np.stack([np.stack(depth) for depth in maps]))
    return torch.from_numpy(np.stack([network.decode(row, SHAPE) for row in payloads]))


def rotations(yaw_deg: float) -> np.ndarray:
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0.1)
    return np.tile(np.hstack([rotation, [[1.0], [-2.0], [0.5]]]), (4, 1, 1))


def occupied(network: Reconstructor, transformed: torch.Tensor) -> torch.Tensor:
    return network.target_volumes(transformed) >= 0.5


def test_saved_networks_are_loaded_with_their_kind(network: Reconstructor, tmp_path: Path) -> None:
    save_network(network, tmp_path / "weights.safetensors")
    loaded = load_network(tmp_path / "weights.safetensors")
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert torch.equal(estimate(loaded), estimate(network))


def test_occupancy_has_the_volumes_shape(network: Reconstructor) -> None:
    volumes = network.occupancy(estimate(network))
    assert volumes.shape == (4, *SHAPE)
    assert volumes.dtype == torch.float32
    assert 0 <= volumes.min() < volumes.max() <= 1


def test_the_predictor_returns_shapes_and_targets(network: Reconstructor) -> None:
    predictor = Predictor(network, InferenceConfig(precision="float32"), batch_size=3)
    compressed = predictor.predict_compressed(IMAGES, 0.5, 1)
    volumes = predictor.predict(IMAGES)
    assert (compressed.bits != np.packbits(volumes >= 0.5, axis=-1)).mean() < 1e-3
    payloads = network.encode(estimate(network))
    if payloads is None:
        assert compressed.targets == [None] * 4
        return
    for payload, expected in zip(compressed.targets, payloads, strict=True):
        assert payload is not None
        difference = network.decode(payload, SHAPE) - network.decode(expected, SHAPE)
        assert np.abs(difference).max() < 1e-3


def test_encoded_targets_are_decoded_and_others_refused(network: Reconstructor) -> None:
    payloads = network.encode(estimate(network))
    if payloads is not None:
        decoded = torch.from_numpy(np.stack([network.decode(row, SHAPE) for row in payloads]))
        assert torch.equal(decoded, estimate(network))
    with pytest.raises(ShapeError):
        network.decode(b"not a target", SHAPE)


def test_identity_transforms_keep_targets(network: Reconstructor) -> None:
    identity = np.tile(np.eye(3, 4), (4, 1, 1))
    stored = targets(network)
    transformed = network.transform_targets(stored, identity)
    if network.target_kind == "surface_depth":
        front, back, outline = stored[:, :, None].unbind(1)
        z = ((torch.arange(96) - 47.5) / 2)[:, None, None]
        solid = (z <= front) & (z >= back) & (outline >= 0)
        kept = network.target_volumes(transformed) >= 0.5
        assert (solid & kept).sum() / (solid | kept).sum() > 0.97
        return
    if transformed.dtype == torch.bool:
        assert torch.equal(pack_bits(transformed.float(), 0.5), stored)
    else:
        assert torch.allclose(transformed, stored, atol=1e-5)


def test_targets_are_transformed_like_their_volumes(network: Reconstructor) -> None:
    """Resampled voxels agree with an analytically rotated shape at twenty degrees."""
    stored = targets(network)
    # Shapes are moved to the middle of the depth first, where the volume does not clip them.
    centring = np.tile(np.eye(3, 4), (4, 1, 1))
    original = occupied(network, network.transform_targets(stored, centring))
    slices = torch.stack([volume.flatten(1).any(1).nonzero().float().mean() for volume in original])
    centring[:, 2, 3] = (47.5 - slices.numpy()) / 2
    before = occupied(network, network.transform_targets(stored, centring))
    homogeneous = np.concatenate([centring, np.tile([[[0, 0, 0, 1.0]]], (4, 1, 1))], axis=1)
    after = occupied(network, network.transform_targets(stored, rotations(20.0) @ homogeneous))
    for source, transformed, transform in zip(before, after, rotations(20.0), strict=True):
        expected = transform_volume(source.float().numpy(), transform) >= 0.5
        union = (expected | transformed.numpy()).sum()
        # Columns of two pixels resolve less than those of one.
        bound = 0.96 if network.target_kind == "surface_depth" else 0.97
        assert (expected & transformed.numpy()).sum() / union > bound


def test_mirrored_targets_are_mirrored_volumes(network: Reconstructor) -> None:
    transformed = network.transform_targets(targets(network), rotations(20.0))
    mirrored = network.mirror(transformed)
    assert torch.equal(network.mirror(mirrored), transformed)
    expected, actual = occupied(network, transformed).flip(-1), occupied(network, mirrored)
    iou = (expected & actual).sum(dim=(1, 2, 3)) / (expected | actual).sum(dim=(1, 2, 3))
    # The head model is symmetric except for its decimated triangles.
    assert iou.min() > 0.97


def test_the_loss_decreases_towards_the_target(network: Reconstructor) -> None:
    start = estimate(network)
    target = network.transform_targets(targets(network), rotations(20.0))
    goal = target if network.target_kind == "head" else torch.logit(target.float(), eps=5e-5)
    halfway = (start + goal) / 2
    losses = [float(network.loss(step, target)) for step in (start, halfway, goal)]
    assert losses[0] > losses[1] > losses[2]
    # The soft rim of a volume has an entropy of its own.
    assert losses[2] < (2e-2 if network.target_kind == "surface_depth" else 1e-3)
    assert float(network.iou(goal, target).min()) > 0.99


def test_sample_weights_scale_loss_and_gradient(network: Reconstructor) -> None:
    predicted = estimate(network).requires_grad_()
    target = network.transform_targets(targets(network), rotations(20.0))
    losses = torch.stack([network.loss(predicted[i : i + 1], target[i : i + 1]) for i in range(4)])
    weights = torch.tensor([0.0, 1.0, 2.0, 0.5])
    weighted = network.loss(predicted, target, weights)
    assert weighted.item() == pytest.approx((losses * weights).mean().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(weighted, predicted)
    (expected,) = torch.autograd.grad((losses * weights).mean(), predicted)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-9)
    assert not gradient[0].any()


@pytest.mark.parametrize("config", [VRN_SIZES, UNET_SIZES, HEAD_SIZES], ids=["vrn", "unet", "head"])
def test_images_of_another_shape_are_refused(config: NetworkConfig) -> None:
    with pytest.raises(ShapeError, match=r"\(B, 3, 96, 96\)"):
        make_network(config)(torch.zeros(1, 3, 64, 64))
