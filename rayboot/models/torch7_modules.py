"""Conversion of a Torch7 file's module tree to a state dict.

The released network was written by Torch7's ``nn``, whose trees have no names. The
file's tree is therefore compared, module by module, with the tree that Torch7 would
write for a network of ours; the position of a module then determines its key. Order
and shapes alone would not suffice: a textbook hourglass has the same convolutions in
another arrangement.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from rayboot.errors import WeightsError
from rayboot.io.torch7 import TorchObject
from rayboot.models.vrn import VRN, BranchSum, Upsample

__all__ = ["state_dict_from_torch7"]

_TORCH7_CLASSES: dict[type[nn.Module], str] = {
    BranchSum: "nn.ConcatTable",
    Upsample: "nn.SpatialUpSamplingBilinear",
    nn.BatchNorm2d: "nn.SpatialBatchNormalization",
    nn.Conv2d: "nn.SpatialConvolution",
    nn.Identity: "nn.Identity",
    nn.MaxPool2d: "nn.SpatialMaxPooling",
    nn.ReLU: "nn.ReLU",
    nn.Sequential: "nn.Sequential",
    nn.Upsample: "nn.SpatialUpSamplingNearest",
}


class _ExpectedModule(NamedTuple):
    """A module that Torch7 would write for the network.

    Attributes:
        depth: number of containers around it, without the root.
        class_name: its Torch7 class.
        key: prefix of its entries in the state dict.
        entries: names of its parameters and buffers.
    """

    depth: int
    class_name: str
    key: str
    entries: tuple[str, ...]


class _FileModule(NamedTuple):
    """A module in the file.

    Attributes:
        depth: number of containers around it, without the root.
        position: Lua's indices from the root, from 1, joined by dots.
        module: the module itself.
    """

    depth: int
    position: str
    module: TorchObject


def state_dict_from_torch7(root: Any, network: VRN) -> dict[str, torch.Tensor]:
    """Returns the weights of a Torch7 module tree under the keys of ``network``.

    Args:
        root: result of :func:`rayboot.io.torch7.read_torch7`.
        network: network of the expected sizes; its own weights are not used.

    Returns:
        Copies of the weights, in the order of ``network.state_dict()``.

    Raises:
        WeightsError: the tree differs from the network's, or an entry is missing or of
            the wrong shape. The message contains its key and position (Lua's indices from 1,
            outermost first).
    """
    if not isinstance(root, TorchObject) or root.class_name != "nn.Sequential":
        received = root.class_name if isinstance(root, TorchObject) else type(root).__name__
        raise WeightsError(f"expected a network, an nn.Sequential, got {received}")
    state = network.state_dict()
    expected_modules = list(_list_expected(network))
    file_modules = _walk(root)
    tensors: dict[str, torch.Tensor] = {}
    for number, expected in enumerate(expected_modules):
        file_module = next(file_modules, None)
        if file_module is None or (file_module.depth, file_module.module.class_name) != (
            expected.depth,
            expected.class_name,
        ):
            raise WeightsError(_describe_difference(number, file_module, expected_modules))
        for entry in expected.entries:
            key = f"{expected.key}.{entry}"
            tensors[key] = _read_entry(file_module, number, entry, key, tuple(state[key].shape))
    surplus = next(file_modules, None)
    if surplus is not None:
        raise WeightsError(
            f"expected {len(expected_modules)} modules, got another one, "
            f"{surplus.module.class_name} at {surplus.position}; the file contains a network "
            "of another shape"
        )
    # Torch7 does not count batches; with a fixed momentum the count is unused.
    counts = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in state.items()
        if key.endswith(".num_batches_tracked")
    }
    tensors |= counts
    return {key: tensors[key] for key in state}


def _list_expected(network: VRN) -> Iterator[_ExpectedModule]:
    """Yields the modules that Torch7 would write for the network, in its order."""
    head = list(network)[-1]

    def descend(parent: nn.Module, prefix: str, depth: int) -> Iterator[_ExpectedModule]:
        for name, child in parent.named_children():
            if isinstance(parent, nn.Sequential) and isinstance(child, nn.Identity):
                continue  # The placeholder of an addition, which is yielded below.
            # The head sums a single branch in Torch7, so no addition follows it.
            class_name = "nn.ConcatTable" if child is head else _TORCH7_CLASSES[type(child)]
            key = f"{prefix}{name}"
            weights = (*child.named_parameters(recurse=False), *child.named_buffers(recurse=False))
            entries = tuple(entry for entry, _ in weights if entry != "num_batches_tracked")
            yield _ExpectedModule(depth, class_name, key, entries)
            yield from descend(child, f"{key}.", depth + 1)
            if isinstance(child, BranchSum):
                yield _ExpectedModule(depth, "nn.CAddTable", key, ())
            if isinstance(child, Upsample):
                yield _ExpectedModule(depth, "nn.Sigmoid", key, ())

    yield from descend(network, "", 0)


def _walk(root: TorchObject) -> Iterator[_FileModule]:
    """Yields the modules below ``root``, depth first.

    It is lazy, so the walk over a tree that contains itself ends where the caller stops.
    """
    stack = _children(root, "", 0)
    while stack:
        module = stack.pop()
        yield module
        stack.extend(_children(module.module, f"{module.position}.", module.depth + 1))


def _children(parent: TorchObject, prefix: str, depth: int) -> list[_FileModule]:
    """Returns the modules of a container, the last one first."""
    modules = parent.fields.get("modules", {})
    if not isinstance(modules, dict) or set(modules) != set(range(1, len(modules) + 1)):
        raise WeightsError(
            f"{parent.class_name} at {prefix or 'the top'}: expected its modules as an array "
            "with indices from 1; the file is damaged"
        )
    for number, module in modules.items():
        if not isinstance(module, TorchObject):
            raise WeightsError(
                f"expected a module at {prefix}{number}, got {type(module).__name__}"
            )
    return [
        _FileModule(depth, f"{prefix}{number}", modules[number])
        for number in range(len(modules), 0, -1)
    ]


def _describe_difference(
    number: int, file_module: _FileModule | None, expected_modules: list[_ExpectedModule]
) -> str:
    """Returns the error message for a module of the file that is not the expected one."""
    expected = expected_modules[number]
    following = next((later for later in expected_modules[number:] if later.entries), None)
    description = f"{expected.class_name} as module {number}, {expected.depth} deep"
    if following is not None:
        word = "for" if following is expected else "before"
        description += f", {word} {following.key}.{following.entries[0]}"
    if file_module is None:
        num_missing = len(expected_modules) - number
        return f"expected {description}, got the end of the tree; {num_missing} are missing"
    return (
        f"expected {description}, got {file_module.module.class_name} at {file_module.position}, "
        f"{file_module.depth} deep; a module is missing or surplus there, or the file contains "
        "another network"
    )


def _read_entry(
    file_module: _FileModule, number: int, entry: str, key: str, shape: tuple[int, ...]
) -> torch.Tensor:
    """Returns a copy of one entry of a module as float32."""
    module = file_module.module
    where = f"module {number} ({module.class_name} at {file_module.position}) has as {entry}"
    value = module.fields.get(entry)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        received = "nothing" if value is None else getattr(value, "dtype", type(value).__name__)
        raise WeightsError(f"{key} must be floats {shape}, but {where} {received}")
    if value.shape != shape:
        raise WeightsError(f"{key} must be {shape}, but {where} {value.shape}")
    # The file's arrays are neither aligned nor writable, so they are copied.
    return torch.from_numpy(np.array(value, np.float32, order="C"))
