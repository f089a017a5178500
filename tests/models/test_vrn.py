from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.config import parse_config
from rayboot.errors import RequestError, ShapeError
from rayboot.models import VRN, VRNConfig
from rayboot.models.vrn import Upsample


def test_default_state_dict_has_the_released_keys_and_shapes(
    released_shapes: dict[str, tuple[int, ...]],
) -> None:
    with torch.device("meta"):
        entries = VRN().state_dict()
    assert [(key, tuple(value.shape)) for key, value in entries.items()] == list(
        released_shapes.items()
    )
    assert len(entries) == 1917


def test_synthetic_weights_give_the_reference_values(
    synthetic_weights: dict[str, torch.Tensor], shared_dir: Path
) -> None:
    with torch.device("meta"):
        network = VRN()
    network.load_state_dict(synthetic_weights, assign=True)
    image = np.random.default_rng(11).random((1, 3, 192, 192)).astype(np.float32)
    with torch.inference_mode():
        volume = network.eval()(torch.from_numpy(image)).numpy()
    reference = np.load(shared_dir / "vrn-reference.npz")
    assert volume.shape == (1, 200, 192, 192)
    assert np.abs(volume.ravel()[reference["idx"]] - reference["val"]).max() < 1e-4


def test_features_are_upsampled_with_aligned_corners() -> None:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((1, 2, 5, 5)))
    large = Upsample()(small)
    assert large.shape == (1, 2, 20, 20)
    corners = np.ix_([0, 1], [0, -1], [0, -1])
    np.testing.assert_allclose(large[0].numpy()[corners], small[0].numpy()[corners])
    # A ramp stays linear from end to end; half-pixel centres would flatten it at the border.
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    expected = np.linspace(0, 4, 20, dtype=np.float32)
    np.testing.assert_allclose(Upsample()(ramp)[0, 0, 7], expected, atol=1e-6)


@pytest.mark.parametrize("config", [VRNConfig.compact(), VRNConfig.compact().replace(slices=40)])
def test_the_volume_has_the_configured_shape(config: VRNConfig) -> None:
    torch.manual_seed(0)
    network = VRN(config).eval()
    size = config.resolution
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        volume, logits = network(images), network(images, raw=True)
    assert volume.shape == (2, config.slices, size, size)
    assert 0 <= volume.min() <= volume.max() <= 1
    torch.testing.assert_close(torch.sigmoid(logits), volume)


def test_the_compact_network_is_small() -> None:
    with torch.device("meta"):
        count = sum(value.numel() for value in VRN(VRNConfig.compact()).parameters())
    assert count < 1.3e6


def test_the_input_is_not_modified(tiny: VRN) -> None:
    # The activations work in place, which must not affect the caller's tensor.
    images = torch.rand(1, 3, 32, 32)
    before = images.clone()
    with torch.inference_mode():
        tiny(images)
    assert torch.equal(images, before)


def test_every_parameter_gets_a_gradient(tiny: VRN) -> None:
    tiny.train()(torch.rand(2, 3, 32, 32), raw=True).square().mean().backward()
    without_gradient = [key for key, value in tiny.named_parameters() if value.grad is None]
    assert without_gradient == []


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 40, 40),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(3, 32, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    ],
)
def test_images_of_wrong_shape_or_dtype_are_refused(tiny: VRN, images: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"must be float \(B, 3, 32, 32\)"):
        tiny(images)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resolution": 100}, "multiple of 8"),
        ({"channels": 33}, "even"),
        ({"levels": 0}, "levels"),
        ({"depth": 3}, "depth"),
    ],
)
def test_impossible_sizes_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_config(VRNConfig, values, source="test")
