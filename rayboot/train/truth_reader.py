"""Reading a worker's part of a synthetic data set as training samples."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from rayboot.data.ground_truth import read_truth_rows
from rayboot.data.images import decode_photo
from rayboot.data.row_index import select_shard
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.geometry.crop import warp_photo
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, read_bytes
from rayboot.models import Reconstructor
from rayboot.train.data_check import split_truth
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.training_config import PretrainConfig

__all__ = ["read_truth_samples"]

_NUM_CONCURRENT_PHOTOS = 8


def read_truth_samples(
    config: PretrainConfig, network: Reconstructor, rank: int = 0, num_workers: int = 1
) -> tuple[SampleStore, SampleStore]:
    """Reads a worker's training and validation samples, split by identity.

    Args:
        config: settings of the run.
        network: network to train.
        rank: rank of the worker.
        num_workers: number of workers of the run.

    Raises:
        RequestError: there is no photo for this worker.
        StoreError: the store stays unavailable.
    """
    indices = split_truth(config)

    def read(split: Split) -> SampleStore:
        shard = select_shard(indices[split], rank, num_workers)
        if len(shard) == 0:
            raise RequestError(
                f"{config.data}: no {split} photo for worker {rank} of {num_workers}; synthesise "
                "more identities, or give fewer workers"
            )
        return _read_store(config.data, shard, network)

    return read("train"), read("val")


def _read_store(uri: str, index: pa.Table, network: Reconstructor) -> SampleStore:
    # Columns of the ground truth have the names of the target kinds.
    columns = ["face_id", "crop", "shape", "yaw_deg", network.target_kind]
    rows = list(read_truth_rows(uri, index, columns))
    with ThreadPoolExecutor(_NUM_CONCURRENT_PHOTOS) as pool:
        samples = list(pool.map(partial(_read_sample, uri, network.target_kind), rows))
    depth, height, width = rows[0]["shape"]
    return SampleStore(samples, (depth, height, width), network.decode)


def _read_sample(uri: str, target_kind: str, row: Mapping[str, Any]) -> Sample:
    photo_uri = join_uri(uri, row["face_id"])
    photo = decode_photo(retry_io(partial(read_bytes, photo_uri), photo_uri))
    image = warp_photo(photo, np.reshape(row["crop"], (2, 3)), row["shape"][2])
    return Sample(image, row[target_kind], yaw_deg=row["yaw_deg"])
