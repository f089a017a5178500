"""Batches on their way from memory to the device, read while it computes."""

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

_AHEAD = 2
"""Batches that are read while the device computes another one."""


def read_ahead(store: SampleStore, batches: list[np.ndarray]) -> Iterator[tuple[Batch, float]]:
    """Batches in order, and for how many seconds each was waited for."""
    waiting: deque[Future[Batch]] = deque()
    left = deque(batches)
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="read-batch") as pool:
        while left or waiting:
            while left and len(waiting) < _AHEAD:
                waiting.append(pool.submit(store.read, left.popleft()))
            started = time.perf_counter()
            batch = waiting.popleft().result()
            yield batch, time.perf_counter() - started


def to_device(
    network: Reconstructor, batch: Batch, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 3, S, S) float in [0, 1], and targets, turned."""
    images = to_device_async(np.ascontiguousarray(batch.images), device)
    # NHWC bytes seen as NCHW are channels-last already.
    images = images.permute(0, 3, 1, 2).float().div_(255)
    targets = to_device_async(np.ascontiguousarray(batch.targets), device)
    return images, network.transform_targets(targets, batch.transforms)
