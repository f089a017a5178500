"""Reading a worker's part of a pairs data set as training samples."""

import hashlib

import numpy as np

from rayboot.data.manifest import require_finished
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.data.row_index import select_shard
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.geometry.camera import gaze_angles
from rayboot.models import Reconstructor
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.training_config import FinetuneConfig

__all__ = ["num_source_copies", "read_samples"]


def read_samples(
    config: FinetuneConfig,
    network: Reconstructor,
    split: Split,
    rank: int = 0,
    num_workers: int = 1,
) -> SampleStore:
    """Reads a worker's samples of one split: a sample for each view, in the faces' order.

    After its views each face adds copies of its unrotated photo, as many as
    ``config.source_fraction`` requires.

    Args:
        config: settings of the run.
        network: network to train.
        split: ``train`` or ``val``.
        rank: rank of the worker.
        num_workers: number of workers of the run.

    Raises:
        RequestError: there is no face for this worker.
    """
    counts = require_finished(config.data, config.manifest).counts
    fraction = config.source_fraction
    copies = fraction / (1 - fraction) * counts["views"] / max(1, counts["faces"])
    index = select_shard(index_faces(config.data, split, config.manifest), rank, num_workers)
    if len(index) == 0:
        raise RequestError(
            f"{config.data}: no {split} face for worker {rank} of {num_workers}; give more photos, "
            "or fewer workers"
        )
    samples: list[Sample] = []
    shape = (0, 0, 0)
    for face in read_faces(config.data, index, network.target_kind):
        shape = tuple(face["shape"])
        for view in face["views"]:
            transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
            yaw, _ = gaze_angles(np.asarray(view["view_gaze"], np.float64))
            samples.append(
                Sample(view["image"], face["target"], transform, yaw_deg=float(np.degrees(yaw)))
            )
        source = Sample(face["image"], face["target"], is_source=True)
        samples += [source] * num_source_copies(face["face_id"], copies)
    return SampleStore(samples, shape, network.decode)


def num_source_copies(face_id: str, mean_copies: float) -> int:
    """Returns the number of samples made of a face's unrotated photo, ``mean_copies`` on average.

    The number follows from the id alone, so it depends neither on workers nor on order.
    """
    draw = int.from_bytes(hashlib.sha256(face_id.encode()).digest()[:8], "big") / 2**64
    return int(mean_copies) + (draw < mean_copies - int(mean_copies))
