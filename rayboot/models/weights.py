"""Reading and writing the weights of a network of any kind.

Own weights are safetensors with the network's config in the header, under a name that
tells its kind. The released
VRN-Unguided is read from ``vrn-unguided.t7`` and ``vrn_unguided.pth`` too. Nothing
here executes a pickle.
"""

import contextlib
import os
import pickle
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from rayboot.errors import RequestError, WeightsError
from rayboot.io.torch7 import Torch7Error, read_torch7
from rayboot.models.head_regressor import HeadRegressor
from rayboot.models.network_config import HeadConfig, NetworkConfig, VRNConfig
from rayboot.models.reconstructor import Reconstructor
from rayboot.models.torch7_modules import state_dict_from_torch7
from rayboot.models.vrn import VRN

__all__ = [
    "KINDS",
    "import_weights",
    "load_network",
    "load_vrn",
    "make_network",
    "read_config",
    "save_network",
]


class Kind(NamedTuple):
    """Of networks: the class of its config, and its own."""

    config: type[NetworkConfig]
    network: type[Reconstructor]


KINDS = {
    "vrn_config": Kind(VRNConfig, VRN),
    "head_config": Kind(HeadConfig, HeadRegressor),
}
"""By the name under which the header keeps the config."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".t7")
_NAMED = 5
"""So many entries are named in a message; the rest are counted."""


def save_network(network: Reconstructor, path: str | Path) -> None:
    """Writes a network's weights and config as safetensors, whole or not at all.

    Raises:
        RequestError: the file cannot be written there.
    """
    path = Path(path)
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    text = network.config.model_dump_json()
    # In the same folder, since a rename does not cross file systems.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        save_file(tensors, str(aside), metadata={_key_of(network.config): text})
        # safetensors makes files private; weights are for the team.
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RequestError(
            f"{path}: cannot be written ({error}); give a file in a folder that exists, "
            "is writable and has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def make_network(config: NetworkConfig) -> Reconstructor:
    """A network of a config's kind with fresh weights."""
    return KINDS[_key_of(config)].network.from_config(config)


def _key_of(config: NetworkConfig) -> str:
    return next(key for key, kind in KINDS.items() if isinstance(config, kind.config))


def read_config(path: str | Path) -> NetworkConfig:
    """The config of a weights file; files without one hold the released network.

    Raises:
        RequestError: there is no such file, or its name ends otherwise.
        WeightsError: it is damaged.
    """
    path = _existing(path)
    if path.suffix != ".safetensors":
        return VRNConfig()
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: no safetensors file ({error}); fetch it again") from error
    for key, kind in KINDS.items():
        if key in header:
            try:
                return kind.config.model_validate_json(header[key])
            except ValidationError as error:
                raise WeightsError(
                    f"{path}: {key} in its header is not one of this version: {error}"
                ) from error
    return VRNConfig()


def load_network(path: str | Path, device: str = "cpu") -> Reconstructor:
    """A network with the weights of a file, in evaluation mode.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt`` (a state dict, alone or as
            ``state_dict``, its keys with or without ``module.``), or ``.t7`` (Torch7).
            The latter three hold the released network.
        device: where it goes.

    Raises:
        RequestError: there is no such file, or its name ends otherwise.
        WeightsError: the file cannot be read, or an entry is missing, unexpected or
            of the wrong shape; it is named.
    """
    config = read_config(path)
    path = Path(path)
    # No memory and no chance yet: every entry comes from the file.
    with torch.device("meta"):
        network = make_network(config)
    try:
        tensors = _read_tensors(path, network)
        _require_fit(tensors, network.state_dict())
        network.to_empty(device="cpu").load_state_dict(tensors)
    except (WeightsError, Torch7Error) as error:
        raise WeightsError(f"{path}: {error}") from error
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); fetch it again") from error
    del tensors
    return network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def load_vrn(path: str | Path, device: str = "cpu") -> VRN:
    """A :class:`VRN` with the weights of a file, see :func:`load_network`.

    Raises:
        WeightsError: also where they are another kind of network's.
    """
    if not isinstance(read_config(path), VRNConfig):
        raise WeightsError(f"{path}: holds no VRN; load it with load_network")
    network = load_network(path, device)
    assert isinstance(network, VRN)
    return network


def import_weights(source: str | Path, destination: str | Path) -> NetworkConfig:
    """Converts a weights file of any kind that :func:`load_vrn` reads to safetensors.

    Args:
        source: the released ``vrn-unguided.t7`` or ``vrn_unguided.pth``, say.
        destination: ends in ``.safetensors``; a file that is there is replaced.

    Returns:
        The config of the network.

    Raises:
        RequestError: there is no such source, or the destination is not writable.
        WeightsError: as :func:`load_vrn` raises it.
    """
    destination = Path(destination)
    if destination.suffix != ".safetensors":
        raise RequestError(f"{destination}: weights are written to a name ending in .safetensors")
    if destination.is_dir() or not destination.parent.is_dir():
        raise RequestError(f"{destination}: must be a file in a folder that exists")
    network = load_network(source)
    save_network(network, destination)
    return network.config


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise RequestError(f"{path}: weights are files ending in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise RequestError(f"{path}: there is no such weights file; give the path of one")
    return path


def _read_tensors(path: Path, network: Reconstructor) -> dict[str, torch.Tensor]:
    if path.suffix == ".t7":
        assert isinstance(network, VRN)  # as read_config has it
        return state_dict_from_torch7(read_torch7(path.read_bytes()), network)
    if path.suffix == ".safetensors":
        with safetensors.safe_open(str(path), "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    return _read_state_dict(path)


def _read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            "its pickle holds more than tensors (or is damaged) and was not executed; in a place "
            "where you trust it, save the state dict alone: torch.save(network.state_dict(), path)"
        ) from error
    except Exception as error:
        # A damaged file ends in about any exception there.
        raise WeightsError(
            f"no file of torch.save ({type(error).__name__}: {error}); fetch it again"
        ) from error
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(isinstance(key, str) for key in stored):
        raise WeightsError(f"expected a state dict, got {type(stored).__name__}")
    # DataParallel wraps a network, and its keys with it.
    return {key.removeprefix("module."): value for key, value in stored.items()}


def _require_fit(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    wrong = [
        f"{key} is {_described(found[key])} and must be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and _described(found[key]) != str(tuple(value.shape))
    ]
    faults = {
        "missing": [key for key in expected if key not in found],
        "unexpected": [key for key in found if key not in expected],
        "of the wrong shape": wrong,
    }
    sentences = [
        f"{len(items)} {what} ({', '.join(items[:_NAMED])}{', ...' if items[_NAMED:] else ''})"
        for what, items in faults.items()
        if items
    ]
    if sentences:
        raise WeightsError(
            f"expected {len(expected)} entries, got {len(found)}: {'; '.join(sentences)}; "
            "give the released VRN-Unguided or a file that rayboot wrote"
        )


def _described(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__
