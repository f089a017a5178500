"""Torch7 module trees, built from a listing of depths and classes.

:func:`network_listing` follows the published description of the graph, not our network.
"""

from pathlib import Path

import numpy as np
import torch

from rayboot.io.torch7 import TorchObject
from rayboot.models import VRNConfig

__all__ = ["build_tree", "module_at", "network_listing", "released_listing"]

Listing = list[tuple[int, str]]

_CONV, _NORM, _RELU = "nn.SpatialConvolution", "nn.SpatialBatchNormalization", "nn.ReLU"
_ADD, _POOL = "nn.CAddTable", "nn.SpatialMaxPooling"


def released_listing(shared_dir: Path) -> Listing:
    """Returns depth and class of every module of the released file, in order."""
    lines = (shared_dir / "vrn-unguided-t7-modules.txt").read_text().splitlines()
    names = [line.split("\t")[1] for line in lines]
    return [((len(name) - len(name.lstrip())) // 4, name.strip()) for name in names]


def network_listing(config: VRNConfig) -> Listing:
    """Returns depth and class of every module of a network of the given sizes, in order."""
    body = [
        *((0, name) for name in (_CONV, _NORM, _RELU)),
        *_residual(0, projected=True),
        (0, _POOL),
        *_residual(0),
        *_residual(0, projected=config.channels != 2 * config.stem_channels),
    ]
    for _ in range(config.num_modules):
        body += [(0, "nn.ConcatTable"), (1, "nn.Identity"), (1, "nn.Sequential")]
        body += [*_level(config, config.levels, 2), *_pointwise(2), *_pointwise(2), (0, _ADD)]
    head = [(2, _CONV), (2, "nn.SpatialUpSamplingBilinear"), (2, "nn.Sigmoid")]
    return [*body, (0, "nn.ConcatTable"), (1, "nn.Sequential"), *_pointwise(2), *head]


def _residual(depth: int, projected: bool = False) -> Listing:
    branch = [_NORM, _RELU, _CONV] * 3
    last = [(depth + 2, "nn.Identity")]
    if projected:
        last = [(depth + 2, "nn.Sequential"), (depth + 3, _CONV)]
    return [
        (depth, "nn.Sequential"),
        (depth + 1, "nn.ConcatTable"),
        (depth + 2, "nn.Sequential"),
        *((depth + 3, name) for name in branch),
        *last,
        (depth + 1, _ADD),
    ]


def _level(config: VRNConfig, level: int, depth: int) -> Listing:
    upper = config.upper_blocks * _residual(depth + 2)
    if level > 1:
        upper += [(depth + 2, "nn.Sequential"), *_level(config, level - 1, depth + 3)]
    count = config.lower_blocks if level > 1 else config.deepest_blocks
    return [
        (depth, "nn.ConcatTable"),
        (depth + 1, "nn.Sequential"),
        *upper,
        (depth + 1, "nn.Sequential"),
        (depth + 2, _POOL),
        *(count * _residual(depth + 2)),
        (depth + 2, "nn.SpatialUpSamplingNearest"),
        (depth, _ADD),
        *_residual(depth),
    ]


def _pointwise(depth: int) -> Listing:
    return [(depth, "nn.Sequential"), *((depth + 1, name) for name in (_CONV, _NORM, _RELU))]


def build_tree(listing: Listing, weights: dict[str, torch.Tensor]) -> TorchObject:
    """Returns the tree with the weights, which are assigned to modules in the keys' order."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, value in weights.items():
        module, _, entry = key.rpartition(".")
        if entry != "num_batches_tracked":
            groups.setdefault(module, {})[entry] = value.numpy()
    remaining = iter(groups.values())
    root = TorchObject("nn.Sequential", {"train": 0, "modules": {}})
    parents = [root]
    for depth, class_name in listing:
        fields = {"train": 0, "output": np.empty(0, np.float32)}
        if class_name in (_CONV, _NORM):
            fields |= next(remaining)
        elif class_name in ("nn.Sequential", "nn.ConcatTable"):
            fields["modules"] = {}
        module = TorchObject(class_name, fields)
        del parents[depth + 1 :]
        siblings = parents[depth].fields["modules"]
        siblings[len(siblings) + 1] = module
        parents.append(module)
    return root


def module_at(root: TorchObject, position: str) -> TorchObject:
    """Returns the module at a position such as ``4.1.2``."""
    for number in position.split("."):
        root = root.fields["modules"][int(number)]
    return root
