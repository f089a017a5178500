"""Reading batches ahead of the device, and sending them to it.

On a GPU, batches are copied and their targets transformed on a stream of their own while the
network computes the batches before them, so nothing of this is between two steps.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from rayboot.models import Reconstructor
from rayboot.models.device_transfer import Ready, open_side_stream, to_device_async
from rayboot.train.augment import warp_crops
from rayboot.train.sample_store import Batch, SampleStore

__all__ = ["DeviceBatch", "read_ahead"]

_NUM_AHEAD = 2
"""Number of batches that are read while the device computes another one."""

_Load = Future[Callable[[], "DeviceBatch"]]
"""A batch that is being read; its result moves it to the device and waits there."""


class DeviceBatch(NamedTuple):
    """A batch on the device.

    Attributes:
        images: (B, 3, S, S) float32 in [0, 1], channels last.
        targets: (B, ...) in the frames of the images.
        is_source: (B,) bool on the host, True for unrotated photos.
        weights: (B,) float32, weight of each sample in the loss; None weighs all alike.
    """

    images: torch.Tensor
    targets: torch.Tensor
    is_source: np.ndarray
    weights: torch.Tensor | None


def read_ahead(
    network: Reconstructor,
    store: SampleStore,
    batches: Sequence[np.ndarray],
    device: torch.device,
    draw_crops: Callable[[int], np.ndarray | None] | None = None,
) -> Iterator[tuple[DeviceBatch, float]]:
    """Returns batches in order, each with the seconds that the caller had to wait for it.

    Reading begins with the call, before the first batch is asked for.

    Args:
        network: network that learns from the targets.
        store: samples.
        batches: indices (B,) into ``store`` of each batch.
        device: device of the batches. On a CPU they are only read ahead, and prepared by the
            caller's thread: its processor computes the network too.
        draw_crops: gives the transforms (B, 3, 4) of a batch by its number, by which images and
            targets are moved; None leaves them where they are, one batch or all.
    """
    stream = open_side_stream(device)

    def load(number: int) -> Callable[[], DeviceBatch]:
        batch = store.read(batches[number])
        moved = None if draw_crops is None else draw_crops(number)
        if stream is None:
            return lambda: _to_device(network, batch, device, moved)
        with stream.queued():
            sent = _to_device(network, batch, device, moved)
        ready = stream.mark()
        return lambda: _receive(sent, ready)

    pool = ThreadPoolExecutor(_NUM_AHEAD, thread_name_prefix="read-batch")
    loads = (pool.submit(load, number) for number in range(len(batches)))
    return _in_order(pool, deque(itertools.islice(loads, _NUM_AHEAD)), loads)


def _in_order(
    pool: ThreadPoolExecutor, pending: deque[_Load], loads: Iterator[_Load]
) -> Iterator[tuple[DeviceBatch, float]]:
    with pool:
        while pending:
            started = time.perf_counter()
            next_load = pending.popleft()
            pending.extend(itertools.islice(loads, 1))
            receive = next_load.result()
            waited = time.perf_counter() - started
            yield receive(), waited


def _receive(batch: DeviceBatch, ready: Ready) -> DeviceBatch:
    tensors = [batch.images, batch.targets]
    ready.before_next(*tensors, *([] if batch.weights is None else [batch.weights]))
    return batch


def _to_device(
    network: Reconstructor, batch: Batch, device: torch.device, moved: np.ndarray | None
) -> DeviceBatch:
    images = to_device_async(np.ascontiguousarray(batch.images), device)
    # NHWC bytes viewed as NCHW already are in channels-last format.
    images = images.permute(0, 3, 1, 2).float().div_(255)
    targets = to_device_async(np.ascontiguousarray(batch.targets), device)
    transforms = batch.transforms
    if moved is not None:
        images = warp_crops(images, moved)
        transforms = moved[:, :, :3] @ transforms
        transforms[:, :, 3] += moved[:, :, 3]
    return DeviceBatch(
        images,
        network.transform_targets(targets, transforms),
        batch.is_source,
        None if batch.weights is None else to_device_async(batch.weights, device),
    )
