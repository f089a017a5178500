"""A worker's share of a pairs data set, as training samples."""

import hashlib

import numpy as np

from rayboot.data.manifest import require_finished
from rayboot.data.pair_index import index_faces, read_faces, select_shard
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.geometry.camera import gaze_angles
from rayboot.models import Reconstructor
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.training_config import FinetuneConfig

__all__ = ["read_samples", "repeat_source"]


def read_samples(
    config: FinetuneConfig,
    network: Reconstructor,
    split: Split,
    rank: int = 0,
    num_workers: int = 1,
) -> SampleStore:
    """The share of a worker in one split: a sample for each view, in the faces' order.

    The photos' own copies come in as ``config.source_fraction`` says.

    Args:
        config: of the run.
        network: that learns from them.
        split: ``train`` or ``val``.
        rank: of the worker.
        num_workers: of the run.

    Raises:
        RequestError: there is no face for this worker.
    """
    counts = require_finished(config.data).counts
    share = config.source_fraction
    copies = share / (1 - share) * counts["views"] / max(1, counts["faces"])
    index = select_shard(index_faces(config.data, split), rank, num_workers)
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
        own = repeat_source(face["face_id"], copies)
        samples += [Sample(face["image"], face["target"], is_source=True)] * own
    return SampleStore(samples, shape, network.decode)


def repeat_source(face_id: str, copies: float) -> int:
    """How often the unrotated photo of ``face_id`` takes part, ``copies`` on average.

    Decided by the id alone, so it depends on no worker and no order.
    """
    draw = int.from_bytes(hashlib.sha256(face_id.encode()).digest()[:8], "big") / 2**64
    return int(copies) + (draw < copies - int(copies))
