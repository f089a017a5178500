"""Checks of a training's data before Ray starts: what would fail in every worker, at every try."""

import numpy as np
import pyarrow as pa

from rayboot.data.ground_truth import index_truth, read_truth_rows
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.data.splits import Split, assign_split
from rayboot.errors import RequestError
from rayboot.models import NetworkConfig
from rayboot.models.volumetric import VolumetricReconstructor
from rayboot.models.weights import network_class
from rayboot.train.training_config import FinetuneConfig, PretrainConfig, TrainingConfig

__all__ = ["require_pairs", "require_truth", "split_truth"]

_SPLITS: tuple[Split, ...] = ("train", "val")


def require_pairs(config: FinetuneConfig, network: NetworkConfig) -> None:
    """Checks that a pairs data set has faces for every worker, with targets of the network's kind.

    Raises:
        RequestError: that is not so, the crops have another size, or the loss has a term that the
            network does not have.
        UnfinishedDataError: the data set has no manifest.
    """
    _require_loss(config, network)
    for split in _SPLITS:
        index = index_faces(config.data, split, config.manifest)
        _require_enough(config, len(index), f"{split} faces", "give more photos")
        (face,) = read_faces(config.data, index.slice(0, 1), network_class(network).target_kind)
        _require_size(config, tuple(face["shape"]), network)


def require_truth(config: PretrainConfig, network: NetworkConfig) -> None:
    """Checks that synthetic photos suffice for every worker, with truth of the network's kind.

    Raises:
        RequestError: that is not so, the crops have another size, or the loss has a term that the
            network does not have.
    """
    _require_loss(config, network)
    kind = network_class(network).target_kind
    for split, index in split_truth(config).items():
        _require_enough(config, len(index), f"{split} photos", "synthesise more identities")
        (row,) = read_truth_rows(config.data, index.slice(0, 1), ["face_id", "shape", kind])
        if row.get(kind) is None:
            raise RequestError(
                f"{config.data}: expected truth of kind {kind}, which the network learns from, but "
                f"{row['face_id']} has none; synthesise the data set again with this version"
            )
        _require_size(config, tuple(row["shape"]), network)


def split_truth(config: PretrainConfig) -> dict[Split, pa.Table]:
    """Divides the rows of a synthetic data set by identity.

    Returns:
        Rows as :func:`rayboot.data.ground_truth.index_truth` locates them, by split.

    Raises:
        RequestError: there is no ground truth.
    """
    index = index_truth(config.data)
    splits = np.array(
        [
            assign_split(group_id, config.optimizer.seed, config.val_fraction)
            for group_id in index["group_id"].to_pylist()
        ]
    )
    return {split: index.filter(splits == split) for split in _SPLITS}


def _require_enough(config: TrainingConfig, count: int, what: str, remedy: str) -> None:
    num_workers = config.num_workers
    needed = num_workers if isinstance(num_workers, int) else max(num_workers)
    if count < needed:
        raise RequestError(
            f"{config.data}: expected at least one of the {what} for each of {needed} workers, got "
            f"{count}; {remedy}, or fewer workers"
        )


def _require_size(config: TrainingConfig, shape: tuple[int, ...], network: NetworkConfig) -> None:
    size = network.resolution
    if shape[1:] != (size, size):
        raise RequestError(
            f"{config.data}: expected crops of {size} px, as the network takes them, got "
            f"{shape[2]} x {shape[1]} px; make the data set for a network of this size"
        )


def _require_loss(config: TrainingConfig, network: NetworkConfig) -> None:
    if config.depth_gradient and not issubclass(network_class(network), VolumetricReconstructor):
        raise RequestError(
            f"depth_gradient: expected 0 for {type(network).__name__}, which predicts no volume, "
            f"got {config.depth_gradient:g}"
        )
