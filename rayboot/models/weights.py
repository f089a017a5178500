"""Reading and writing the weights of a network.

Own weights are safetensors with the network's config in the header. The released
VRN-Unguided is read from ``vrn-unguided.t7`` and ``vrn_unguided.pth`` too. Nothing
here executes a pickle.
"""

import json
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

from rayboot.errors import WeightsError
from rayboot.models.config import VRNConfig
from rayboot.models.vrn import VRN

__all__ = ["load_vrn", "read_config", "save_vrn"]

_CONFIG_KEY = "vrn_config"


def save_vrn(network: VRN, path: str | Path) -> None:
    """Writes a network's weights and config as safetensors."""
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, str(path), metadata={_CONFIG_KEY: network.config.model_dump_json()})


def read_config(path: str | Path) -> VRNConfig:
    """The config of a weights file; files without one hold the released network."""
    if Path(path).suffix != ".safetensors":
        return VRNConfig()
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            stored = (file.metadata() or {}).get(_CONFIG_KEY)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: no safetensors file ({error})") from error
    return VRNConfig() if stored is None else VRNConfig.model_validate(json.loads(stored))


def load_vrn(path: str | Path, device: str = "cpu") -> VRN:
    """A network with the weights of a file, in evaluation mode.

    Args:
        path: ``.safetensors``, ``.pth`` (a state dict) or ``.t7`` (Torch7).
        device: where it goes.

    Raises:
        WeightsError: the file cannot be read, or an entry is missing, surplus or
            of the wrong shape; it is named.
    """
    network = VRN(read_config(path))
    tensors = _read_tensors(Path(path))
    _require_fit(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)
    return network.to(device, memory_format=torch.channels_last).eval()


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    with safetensors.safe_open(str(path), "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}


def _require_fit(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], path: str | Path
) -> None:
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    if missing or surplus:
        raise WeightsError(f"{path}: missing entries {missing[:5]}, surplus entries {surplus[:5]}")
    for key, value in expected.items():
        if found[key].shape != value.shape:
            raise WeightsError(
                f"{path}: {key} must be {tuple(value.shape)}, got {tuple(found[key].shape)}"
            )
