"""Reading and writing the weights of a network of any kind.

rayboot's own weights are safetensors with the network's config in the header, under a
key that names its kind. The released VRN-Unguided is also read from
``vrn-unguided.t7`` and ``vrn_unguided.pth``. No code here executes a pickle.
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
from rayboot.models.network_config import HeadConfig, NetworkConfig, UNetConfig, VRNConfig
from rayboot.models.reconstructor import Reconstructor
from rayboot.models.torch7_modules import state_dict_from_torch7
from rayboot.models.unet import VolumetricUNet
from rayboot.models.vrn import VRN

__all__ = [
    "NETWORK_KINDS",
    "import_weights",
    "load_network",
    "load_vrn",
    "make_network",
    "network_class",
    "read_config",
    "require_weights",
    "save_network",
]


class NetworkKind(NamedTuple):
    """A kind of network.

    Attributes:
        config: class of its config.
        network: class of the network.
    """

    config: type[NetworkConfig]
    network: type[Reconstructor]


NETWORK_KINDS = {
    "vrn_config": NetworkKind(VRNConfig, VRN),
    "unet_config": NetworkKind(UNetConfig, VolumetricUNet),
    "head_config": NetworkKind(HeadConfig, HeadRegressor),
}
"""Kinds of networks by the key of their config in the header of a weights file."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".t7")

_MAX_NAMED_ENTRIES = 5
"""Number of entries that a message names; the rest are counted."""


def save_network(network: Reconstructor, path: str | Path) -> None:
    """Writes a network's weights and config as safetensors, atomically.

    Raises:
        RequestError: the file cannot be written there.
    """
    path = Path(path)
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    text = network.config.model_dump_json()
    # In the same folder, because a rename does not cross file systems.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        save_file(tensors, str(temporary), metadata={_header_key(network.config): text})
        # safetensors creates files that only their owner can read; weights are for the team.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RequestError(
            f"{path}: cannot be written ({error}); give a file in a folder that exists, "
            "is writable and has free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_network(config: NetworkConfig) -> Reconstructor:
    """Returns a network of the config's kind with newly initialised weights."""
    return network_class(config).from_config(config)


def network_class(config: NetworkConfig) -> type[Reconstructor]:
    """Returns the class of the networks that a config describes."""
    return NETWORK_KINDS[_header_key(config)].network


def _header_key(config: NetworkConfig) -> str:
    return next(key for key, kind in NETWORK_KINDS.items() if isinstance(config, kind.config))


def read_config(path: str | Path) -> NetworkConfig:
    """Returns the config of a weights file; files without one contain the released network.

    Raises:
        RequestError: the file does not exist, or its name has another suffix.
        WeightsError: the file is damaged.
    """
    path = _require_file(path)
    if path.suffix != ".safetensors":
        return VRNConfig()
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"{path}: expected a safetensors file, but it cannot be read ({error}); fetch it again"
        ) from error
    for key, kind in NETWORK_KINDS.items():
        if key in header:
            try:
                return kind.config.model_validate_json(header[key])
            except ValidationError as error:
                raise WeightsError(
                    f"{path}: {key} in its header is not a config of this version: {error}"
                ) from error
    return VRNConfig()


def require_weights(path: str | Path) -> NetworkConfig:
    """Checks that a file contains the weights of a network; returns the network's config.

    Of a safetensors file only the header is read; the others have none, and are read as a whole.

    Raises:
        RequestError, WeightsError: as :func:`load_network` raises them.
    """
    config = read_config(path)
    path = Path(path)
    if path.suffix != ".safetensors":
        load_network(path)
        return config
    with torch.device("meta"):
        expected = make_network(config).state_dict()
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            received = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            has_config = not NETWORK_KINDS.keys().isdisjoint(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); fetch it again") from error
    if not has_config and received.keys().isdisjoint(expected):
        raise WeightsError(
            f"{path}: expected weights that rayboot wrote, or those of the released VRN-Unguided, "
            "got those of another network: its header names no network of rayboot, and none of its "
            f"{len(received)} entries ({_name_some(sorted(received))}) is one of VRN-Unguided's"
        )
    try:
        _require_fit(
            {key: torch.empty(shape, device="meta") for key, shape in received.items()}, expected
        )
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return config


def load_network(path: str | Path, device: str = "cpu") -> Reconstructor:
    """Returns a network with the weights of a file, in evaluation mode.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt`` (a state dict, alone or as
            ``state_dict``, its keys with or without ``module.``), or ``.t7`` (Torch7).
            Files of the latter three contain the released network.
        device: device of the network.

    Raises:
        RequestError: the file does not exist, or its name has another suffix.
        WeightsError: the file cannot be read, or an entry is missing, unexpected or
            of the wrong shape; the message names it.
    """
    config = read_config(path)
    path = Path(path)
    # On the meta device nothing is allocated or initialised: every entry comes from the file.
    with torch.device("meta"):
        network = make_network(config)
    try:
        tensors = _read_tensors(path, network)
        expected = network.state_dict()
        _require_fit(tensors, expected)
        # Moving a network off the meta device would load SymPy, which takes half a second. The
        # tensors are copied because they may map the file, which another process may replace.
        copies = {key: value.to(expected[key].dtype, copy=True) for key, value in tensors.items()}
        network.load_state_dict(copies, assign=True)
    except (WeightsError, Torch7Error) as error:
        raise WeightsError(f"{path}: {error}") from error
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); fetch it again") from error
    del tensors
    # PyTorch's overloads of Module.to omit memory_format without a dtype.
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def load_vrn(path: str | Path, device: str = "cpu") -> VRN:
    """Returns a :class:`VRN` with the weights of a file; arguments as in :func:`load_network`.

    Raises:
        RequestError: as in :func:`load_network`.
        WeightsError: as in :func:`load_network`, or the file contains another kind of network.
    """
    config = read_config(path)
    if not isinstance(config, VRNConfig):
        raise WeightsError(
            f"{path}: expected the weights of a VRN, got those of a network with a "
            f"{type(config).__name__}; load them with load_network"
        )
    network = load_network(path, device)
    assert isinstance(network, VRN)
    return network


def import_weights(source: str | Path, destination: str | Path) -> NetworkConfig:
    """Converts a weights file that :func:`load_network` reads to safetensors.

    Args:
        source: weights of a network of any kind, for example the released
            ``vrn-unguided.t7`` or ``vrn_unguided.pth``.
        destination: file whose name ends in ``.safetensors``; an existing one is replaced.

    Returns:
        The config of the network.

    Raises:
        RequestError: the source does not exist or contains no such weights, or the destination is
            not writable.
    """
    destination = Path(destination)
    if destination.suffix != ".safetensors":
        raise RequestError(
            f"{destination}: the converted weights need a file name ending in .safetensors"
        )
    if destination.is_dir() or not destination.parent.is_dir():
        raise RequestError(f"{destination}: must be a file in a folder that exists")
    try:
        network = load_network(source)
    except WeightsError as error:
        raise RequestError(f"weights {error}") from error
    save_network(network, destination)
    return network.config


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _require_file(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise RequestError(f"{path}: expected a weights file ending in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise RequestError(f"{path}: no such weights file; give the path of one that exists")
    return path


def _read_tensors(path: Path, network: Reconstructor) -> dict[str, torch.Tensor]:
    if path.suffix == ".t7":
        assert isinstance(network, VRN)  # read_config returns a VRNConfig for this suffix.
        return state_dict_from_torch7(read_torch7(path.read_bytes()), network)
    if path.suffix == ".safetensors":
        with safetensors.safe_open(str(path), "pt") as file:
            keys = file.keys()
            return {key: file.get_tensor(key) for key in keys}
    return _read_state_dict(path)


def _read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            "its pickle contains more than tensors (or is damaged) and was not executed; where "
            "you trust it, save the state dict alone: torch.save(network.state_dict(), path)"
        ) from error
    except Exception as error:
        # torch.load raises almost any exception on a damaged file.
        raise WeightsError(
            f"expected a file of torch.save, but it cannot be read ({type(error).__name__}: "
            f"{error}); fetch it again"
        ) from error
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(isinstance(key, str) for key in stored):
        raise WeightsError(f"expected a state dict, got {type(stored).__name__}")
    # DataParallel wraps the network, which prefixes its keys.
    return {key.removeprefix("module."): value for key, value in stored.items()}


def _require_fit(received: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Checks that the entries of a file are those of a network, of the same shapes."""
    misshapen = [
        f"{key} is {_describe_value(received[key])} and must be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in received and _describe_value(received[key]) != str(tuple(value.shape))
    ]
    faults = {
        "missing": [key for key in expected if key not in received],
        "unexpected": [key for key in received if key not in expected],
        "of the wrong shape": misshapen,
    }
    phrases = [
        f"{len(items)} {fault} ({_name_some(items)})" for fault, items in faults.items() if items
    ]
    if phrases:
        raise WeightsError(
            f"expected {len(expected)} entries, got {len(received)}: {'; '.join(phrases)}; "
            "give the released VRN-Unguided or a file that rayboot wrote"
        )


def _name_some(items: list[str]) -> str:
    more = ", ..." if items[_MAX_NAMED_ENTRIES:] else ""
    return ", ".join(items[:_MAX_NAMED_ENTRIES]) + more


def _describe_value(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__
