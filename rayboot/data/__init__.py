"""Data sets: photos and landmarks, pairs, ground truth, meshes, and their manifests."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayboot.data.pairs import read_pairs
    from rayboot.data.pairs_dataset import PairsDataset

__all__ = ["PairsDataset", "read_pairs"]

_MODULES = {"PairsDataset": "pairs_dataset", "read_pairs": "pairs"}


def __getattr__(name: str) -> object:
    # PyTorch is for those alone who train: no CPU actor loads it.
    if name in _MODULES:
        return getattr(importlib.import_module(f"rayboot.data.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
