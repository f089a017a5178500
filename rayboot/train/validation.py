"""Loss and overlap of a network on samples that it does not learn from.

Nothing waits for the device between two batches: the host reads what one batch gave when the next
ones are queued behind it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.distributed

from rayboot.models import Reconstructor
from rayboot.models.device_transfer import HostCopy, open_side_stream
from rayboot.models.precision import autocast
from rayboot.train.prefetch import read_ahead
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import OptimizerConfig

__all__ = ["ious", "validate"]

_NUM_IOU_SAMPLES = 256
"""Approximate number of validation samples per worker whose IoU is computed: for some networks
the volumes have to be filled first, which takes longer than the loss."""

_NUM_QUEUED = 2
"""Number of batches that are queued on the device before the host reads what an earlier one gave.
Without a limit the host would read the whole validation set into the device's memory."""

Measure = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
"""Gives the values to read of a batch: from its number, its estimate and its targets."""


@torch.no_grad()
def ious(
    network: Reconstructor, store: SampleStore, indices: np.ndarray, config: OptimizerConfig
) -> np.ndarray:
    """Computes the intersection over union (M,) of predictions with their targets.

    Args:
        network: network on its device; its training mode is restored afterwards.
        store: samples.
        indices: (M,) indices into ``store``.
        config: batch size and precision.
    """
    was_training = network.training
    network.eval()

    def measure(_: int, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return network.iou(estimate, targets).float()

    batches = _split(indices, config.batch_size)
    values = list(_measure_batches(network, store, batches, config, measure))
    network.train(was_training)
    return np.concatenate(values) if values else np.zeros(0, np.float32)


@torch.no_grad()
def validate(
    network: Reconstructor, val: SampleStore, config: OptimizerConfig
) -> tuple[float, float]:
    """Returns mean loss and mean intersection over union at 0.5 on all workers' samples.

    Where a worker has many samples, the latter is computed on evenly spaced batches only.
    """
    network.eval()
    batches = _split(np.arange(len(val)), config.batch_size)
    num_iou_batches = max(1, _NUM_IOU_SAMPLES // config.batch_size)
    iou_batches = set(np.linspace(0, len(batches), num_iou_batches, False).astype(int).tolist())

    def measure(number: int, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        values = [network.loss(estimate, targets)]
        if number in iou_batches:
            values.append(network.iou(estimate, targets).sum())
        return torch.stack(values)

    sums = torch.zeros(4, dtype=torch.float64)
    measured = _measure_batches(network, val, batches, config, measure)
    for batch, (loss, *iou) in zip(batches, measured, strict=True):
        sums[:2] += torch.tensor([float(loss) * len(batch), len(batch)], dtype=torch.float64)
        if iou:
            sums[2:] += torch.tensor([float(iou[0]), len(batch)], dtype=torch.float64)
    if torch.distributed.is_initialized():
        sums = sums.to(next(network.parameters()).device)
        torch.distributed.all_reduce(sums)
    loss_sum, num_losses, iou_sum, num_ious = sums.tolist()
    return loss_sum / num_losses, iou_sum / num_ious


def _split(indices: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]


def _measure_batches(
    network: Reconstructor,
    store: SampleStore,
    batches: Sequence[np.ndarray],
    config: OptimizerConfig,
    measure: Measure,
) -> Iterator[np.ndarray]:
    """Yields the values of each batch, in order."""
    device = next(network.parameters()).device
    copies, queued = open_side_stream(device), deque[HostCopy]()
    for number, (batch, _) in enumerate(read_ahead(network, store, batches, device)):
        with autocast(device, config.precision):
            estimate = network(batch.images, raw=True)
        queued.append(HostCopy(measure(number, estimate, batch.targets), copies))
        if len(queued) > _NUM_QUEUED:
            yield queued.popleft().result()
    for copy in queued:
        yield copy.result()
