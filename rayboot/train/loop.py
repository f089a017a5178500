"""The training loop: plain PyTorch, the same under one process or many.

Order and augmentation of epoch E depend on ``[seed, E, rank]`` alone, so a
resumed run sees what an undisturbed one sees.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed

from rayboot.models.losses import voxel_cross_entropy
from rayboot.models.precision import autocast
from rayboot.train.augment import augment_batch
from rayboot.train.config import OptimizerConfig
from rayboot.train.samples import Batch, SampleStore

__all__ = ["EpochRecord", "TrainState", "learning_rate", "train_epochs", "validate"]


class EpochRecord(NamedTuple):
    """Figures of one epoch; ``epoch`` counts from 0, losses are per voxel."""

    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_iou: float


class TrainState:
    """A network, its optimizer and the next epoch; what a checkpoint holds.

    Args:
        network: gives logits (B, D, H, W) for images (B, 3, H, W); on its device.
        config: of the optimizer.
    """

    def __init__(self, network: torch.nn.Module, config: OptimizerConfig) -> None:
        # Twice as fast on a CPU, and on a GPU in bfloat16.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        self.next_epoch = 0

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device


def learning_rate(config: OptimizerConfig, epoch: int) -> float:
    """The rate of an epoch (from 0): halved every ``halve_every`` epochs."""
    return config.learning_rate * 0.5 ** (epoch // config.halve_every)


def train_epochs(
    state: TrainState,
    train: SampleStore,
    val: SampleStore,
    *,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Iterator[EpochRecord]:
    """Trains from ``state.next_epoch`` to the last epoch; yields a record after each.

    Args:
        state: moved on in place.
        train: this worker's samples.
        val: samples that every worker validates on.
        on_step: called with (step, steps of the epoch, loss).
    """
    for epoch in range(state.next_epoch, state.config.num_epochs):
        rate = learning_rate(state.config, epoch)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        loss = _train_epoch(state, train, epoch, on_step)
        val_loss, val_iou = validate(state.network, val, state.config)
        state.next_epoch = epoch + 1
        yield EpochRecord(epoch, rate, loss, val_loss, val_iou)


def _train_epoch(
    state: TrainState,
    train: SampleStore,
    epoch: int,
    on_step: Callable[[int, int, float], None] | None,
) -> float:
    config, (rank, num_workers) = state.config, _rank_and_size()
    rng = np.random.default_rng([config.seed, epoch, rank])
    order = rng.permutation(len(train))
    batch_size = max(1, config.batch_size // num_workers)
    num_steps = _smallest(max(1, len(train) // batch_size))
    state.network.train()
    losses = []
    for step in range(num_steps):
        indices = order[step * batch_size : (step + 1) * batch_size]
        batch = augment_batch(
            rng, train.read(indices), flip=config.flip, color_jitter=config.color_jitter
        )
        losses.append(_step(state, batch))
        if on_step is not None:
            on_step(step, num_steps, losses[-1])
    return float(np.mean(losses))


def _step(state: TrainState, batch: Batch) -> float:
    images, targets = _to_device(batch, state.device)
    with autocast(state.device, state.config.precision):
        loss = voxel_cross_entropy(state.network(images, logits=True), targets)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    state.optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def validate(
    network: torch.nn.Module, val: SampleStore, config: OptimizerConfig
) -> tuple[float, float]:
    """Mean loss per voxel, and mean intersection over union at 0.5."""
    device = next(network.parameters()).device
    network.eval()
    loss_sum, iou_sum = 0.0, 0.0
    for start in range(0, len(val), config.batch_size):
        indices = np.arange(start, min(start + config.batch_size, len(val)))
        images, targets = _to_device(val.read(indices), device)
        with autocast(device, config.precision):
            logits = network(images, logits=True)
        loss_sum += float(voxel_cross_entropy(logits, targets)) * len(indices)
        predicted, true = logits > 0, targets
        union = (predicted | true).sum(dim=(1, 2, 3)).clamp(min=1)
        iou_sum += float(((predicted & true).sum(dim=(1, 2, 3)) / union).sum())
    return loss_sum / len(val), iou_sum / len(val)


def _to_device(batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(np.ascontiguousarray(batch.images)).to(device)
    # NHWC bytes seen as NCHW are channels-last already.
    images = images.permute(0, 3, 1, 2).float().div_(255)
    targets = torch.from_numpy(np.ascontiguousarray(batch.targets)).to(device)
    return images, targets


def _rank_and_size() -> tuple[int, int]:
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _smallest(count: int) -> int:
    """The smallest count of all workers: one more step on one of them would hang the rest."""
    if not torch.distributed.is_initialized():
        return count
    tensor = torch.tensor([count])
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MIN)
    return int(tensor)
