"""Reading batches ahead of the device, and sending them to it."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from rayboot.models import Reconstructor
from rayboot.models.device_transfer import to_device_async
from rayboot.train.sample_store import Batch, SampleStore

__all__ = ["read_ahead", "to_device"]

_NUM_AHEAD = 2
"""Number of batches that are read while the device computes another one."""


def read_ahead(store: SampleStore, batches: list[np.ndarray]) -> Iterator[tuple[Batch, float]]:
    """Yields batches in order, each with the seconds that the caller had to wait for it."""
    pending: deque[Future[Batch]] = deque()
    remaining = deque(batches)
    with ThreadPoolExecutor(_NUM_AHEAD, thread_name_prefix="read-batch") as pool:
        while remaining or pending:
            while remaining and len(pending) < _NUM_AHEAD:
                pending.append(pool.submit(store.read, remaining.popleft()))
            started = time.perf_counter()
            batch = pending.popleft().result()
            yield batch, time.perf_counter() - started


def to_device(
    network: Reconstructor, batch: Batch, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images (B, 3, S, S) float in [0, 1], and targets in the frames of their views."""
    images = to_device_async(np.ascontiguousarray(batch.images), device)
    # NHWC bytes viewed as NCHW already are in channels-last format.
    images = images.permute(0, 3, 1, 2).float().div_(255)
    targets = to_device_async(np.ascontiguousarray(batch.targets), device)
    return images, network.transform_targets(targets, batch.transforms)
