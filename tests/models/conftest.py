"""Synthetic weights of full size, and tiny networks."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.models import VRN, VRNConfig


@pytest.fixture(scope="session")
def released_shapes(shared_dir: Path) -> dict[str, tuple[int, ...]]:
    """The keys of the released state dict with their shapes, in order."""
    stored = json.loads((shared_dir / "vrn-unguided-state-dict.json").read_text())
    return {key: tuple(shape) for key, shape in stored.items()}


@pytest.fixture(scope="session")
def synthetic_weights(released_shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The weights with which the reference values were computed."""
    return {key: _draw_entry(key, shape) for key, shape in released_shapes.items()}


def _draw_entry(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key == "11.0.1.weight":
        values = rng.standard_normal(shape) * 0.002
    elif len(shape) == 4:
        values = rng.standard_normal(shape) * 0.7 * np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith(("running_var", "weight")):
        values = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        values = rng.standard_normal(shape) * 0.1
    else:
        values = rng.standard_normal(shape) * 0.05
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="session")
def tiny_config() -> VRNConfig:
    """Sizes of a network that runs in milliseconds and has every kind of block."""
    return VRNConfig(
        resolution=32,
        slices=12,
        stem_channels=8,
        stem_bottleneck=4,
        channels=16,
        num_modules=2,
        levels=2,
        upper_blocks=1,
        lower_blocks=1,
        deepest_blocks=2,
    )


@pytest.fixture
def tiny(tiny_config: VRNConfig) -> VRN:
    """A tiny network whose batch statistics differ from the initial ones."""
    torch.manual_seed(0)
    network = VRN(tiny_config)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()
