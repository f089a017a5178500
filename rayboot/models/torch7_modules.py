"""The module tree of a Torch7 file as a state dict.

The released network was written by Torch7's ``nn``, whose trees know no names. So the
file's tree is compared, module by module, with the one that a network of ours would
have there; a module's place then tells its key. Order and shapes alone would not do: a
textbook hourglass has the same convolutions in another arrangement.
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

_CLASSES: dict[type[nn.Module], str] = {
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


class _Place(NamedTuple):
    depth: int
    class_name: str
    key: str
    entries: tuple[str, ...]


class _Found(NamedTuple):
    depth: int
    position: str
    module: TorchObject


def state_dict_from_torch7(root: Any, network: VRN) -> dict[str, torch.Tensor]:
    """Weights of a Torch7 module tree under the keys of ``network``.

    Args:
        root: what :func:`rayboot.io.torch7.read_torch7` returned.
        network: of the wanted sizes; its own weights are not looked at.

    Returns:
        Copies, in the order of ``network.state_dict()``.

    Raises:
        WeightsError: the tree differs from the network's, or an entry is missing or of
            the wrong shape; key and position (Lua's, from 1, outermost first) are named.
    """
    if not isinstance(root, TorchObject) or root.class_name != "nn.Sequential":
        what = root.class_name if isinstance(root, TorchObject) else type(root).__name__
        raise WeightsError(f"expected a network, an nn.Sequential, got {what}")
    wanted = network.state_dict()
    places = list(_places(network))
    found = _walk(root)
    tensors: dict[str, torch.Tensor] = {}
    for number, place in enumerate(places):
        here = next(found, None)
        if here is None or (here.depth, here.module.class_name) != (place.depth, place.class_name):
            raise WeightsError(_difference(number, here, places))
        for entry in place.entries:
            key = f"{place.key}.{entry}"
            tensors[key] = _entry(here, number, entry, key, tuple(wanted[key].shape))
    surplus = next(found, None)
    if surplus is not None:
        raise WeightsError(
            f"expected {len(places)} modules, got another one, {surplus.module.class_name} at "
            f"{surplus.position}; the file holds a network of another shape"
        )
    # Torch7 does not count batches; with a fixed momentum the count has no use.
    counts = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in wanted.items()
        if key.endswith(".num_batches_tracked")
    }
    tensors |= counts
    return {key: tensors[key] for key in wanted}


def _places(network: VRN) -> Iterator[_Place]:
    """The modules that Torch7 would have, in its order."""
    head = list(network)[-1]

    def below(parent: nn.Module, prefix: str, depth: int) -> Iterator[_Place]:
        for name, child in parent.named_children():
            if isinstance(parent, nn.Sequential) and isinstance(child, nn.Identity):
                continue  # The placeholder of an addition, which comes below.
            # The last one sums a single branch in Torch7: no addition follows.
            class_name = "nn.ConcatTable" if child is head else _CLASSES[type(child)]
            key = f"{prefix}{name}"
            weights = (*child.named_parameters(recurse=False), *child.named_buffers(recurse=False))
            entries = tuple(entry for entry, _ in weights if entry != "num_batches_tracked")
            yield _Place(depth, class_name, key, entries)
            yield from below(child, f"{key}.", depth + 1)
            if isinstance(child, BranchSum):
                yield _Place(depth, "nn.CAddTable", key, ())
            if isinstance(child, Upsample):
                yield _Place(depth, "nn.Sigmoid", key, ())

    yield from below(network, "", 0)


def _walk(root: TorchObject) -> Iterator[_Found]:
    """The modules below ``root``, depth first, as far as they are asked for."""
    waiting = _children(root, "", 0)
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(_children(here.module, f"{here.position}.", here.depth + 1))


def _children(parent: TorchObject, prefix: str, depth: int) -> list[_Found]:
    """The modules of a container, the last one first."""
    modules = parent.fields.get("modules", {})
    if not isinstance(modules, dict) or set(modules) != set(range(1, len(modules) + 1)):
        raise WeightsError(f"{parent.class_name} at {prefix or 'the top'}: modules is no array")
    for number, module in modules.items():
        if not isinstance(module, TorchObject):
            raise WeightsError(
                f"expected a module at {prefix}{number}, got {type(module).__name__}"
            )
    return [
        _Found(depth, f"{prefix}{number}", modules[number]) for number in range(len(modules), 0, -1)
    ]


def _difference(number: int, here: _Found | None, places: list[_Place]) -> str:
    place = places[number]
    following = next((later for later in places[number:] if later.entries), None)
    wanted = f"{place.class_name} as module {number}, {place.depth} deep"
    if following is not None:
        word = "for" if following is place else "before"
        wanted += f", {word} {following.key}.{following.entries[0]}"
    if here is None:
        return f"expected {wanted}, got the end of the tree; {len(places) - number} are missing"
    return (
        f"expected {wanted}, got {here.module.class_name} at {here.position}, {here.depth} deep; "
        "a module is missing or surplus there, or the file holds another network"
    )


def _entry(here: _Found, number: int, entry: str, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    where = f"module {number} ({here.module.class_name} at {here.position}) has as {entry}"
    value = here.module.fields.get(entry)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        got = "nothing" if value is None else getattr(value, "dtype", type(value).__name__)
        raise WeightsError(f"{key} must be floats {shape}, but {where} {got}")
    if value.shape != shape:
        raise WeightsError(f"{key} must be {shape}, but {where} {value.shape}")
    # The file's arrays are neither aligned nor writable.
    return torch.from_numpy(np.array(value, np.float32, order="C"))
