"""The training loop: plain PyTorch, the same in one process and in many.

Order and augmentation of a step depend only on ``[seed, epoch, rank]`` and the step's number,
so a run that resumes at any step sees the same batches as an uninterrupted one.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed

from rayboot.models import Reconstructor
from rayboot.models.device_transfer import HostCopy, open_side_stream
from rayboot.models.precision import autocast
from rayboot.train.augment import (
    augment_images,
    draw_augmentation,
    draw_crop_transforms,
    mirror_targets,
)
from rayboot.train.objective import Objective
from rayboot.train.prefetch import DeviceBatch, read_ahead
from rayboot.train.sample_store import SampleStore
from rayboot.train.train_state import EpochRecord, TrainState
from rayboot.train.training_config import OptimizerConfig
from rayboot.train.validation import validate

__all__ = ["StepRecord", "learning_rate", "train_epochs", "train_step"]

_CROP_STREAM = 1
"""Tells the random generator of a step's crops from that of its images."""


class StepRecord(NamedTuple):
    """One training step.

    Attributes:
        step: number of the step within its epoch, from 0.
        num_steps: number of steps in the epoch.
        loss: loss of the step's batch.
    """

    step: int
    num_steps: int
    loss: float


def learning_rate(config: OptimizerConfig, position: float) -> float:
    """Returns the rate at a position of the training.

    Args:
        config: course of the rate.
        position: number of epochs that are complete, with the fraction of the current one.
    """
    warmup = min(1.0, position / config.warmup_epochs) if config.warmup_epochs else 1.0
    if config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(1.0, position / config.num_epochs)))
    else:
        factor = 0.5 ** (int(position) // config.lr_halving_epochs)
    return config.learning_rate * warmup * factor


def train_epochs(
    state: TrainState,
    train: SampleStore,
    val: SampleStore,
    *,
    objective: Objective | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Iterator[EpochRecord]:
    """Trains from the position of ``state`` to the last epoch; yields a record after each.

    Args:
        state: network and optimizer, advanced in place.
        train: this worker's training samples.
        val: this worker's part of the validation samples.
        objective: function that a step minimises; by default the network's loss.
        on_step: called after each step, when ``state`` points to the next one.
    """
    if state.next_epoch >= state.config.num_epochs:
        return
    objective = objective or Objective()
    steps = _open_epoch(state, train, state.next_epoch, state.next_step)
    for epoch in range(state.next_epoch, state.config.num_epochs):
        waited = _train_epoch(state, steps, objective, on_step)
        loss = float(np.mean(state.losses))
        if epoch + 1 < state.config.num_epochs:
            # Its first batches are read while the device validates.
            steps = _open_epoch(state, train, epoch + 1, 0)
        val_loss, val_iou = validate(state.result, val, state.config)
        state.next_epoch, state.next_step, state.losses = epoch + 1, 0, []
        state.epochs.append(
            EpochRecord(epoch, learning_rate(state.config, epoch), loss, val_loss, val_iou, waited)
        )
        yield state.epochs[-1]


class _Steps(NamedTuple):
    """The steps that remain of an epoch.

    Attributes:
        epoch: number of the epoch, from 0.
        num_steps: number of steps of the whole epoch.
        batches: their batches, each with the seconds that the caller had to wait for it.
    """

    epoch: int
    num_steps: int
    batches: Iterator[tuple[DeviceBatch, float]]


def _open_epoch(state: TrainState, train: SampleStore, epoch: int, first_step: int) -> _Steps:
    """Begins to read an epoch from one of its steps on."""
    config, (rank, num_workers) = state.config, _rank_and_size()
    order = np.random.default_rng([config.seed, epoch, rank]).permutation(len(train))
    batch_size = max(1, config.batch_size // num_workers)
    num_steps = _min_over_workers(max(1, len(train) // batch_size))
    batches = [
        order[step * batch_size : (step + 1) * batch_size] for step in range(first_step, num_steps)
    ]

    def draw_crops(number: int) -> np.ndarray | None:
        rng = np.random.default_rng([config.seed, epoch, rank, first_step + number, _CROP_STREAM])
        return draw_crop_transforms(rng, len(batches[number]), config.augment, train.shape[2])

    reader = read_ahead(state.network, train, batches, state.device, draw_crops)
    return _Steps(epoch, num_steps, reader)


def _train_epoch(
    state: TrainState,
    steps: _Steps,
    objective: Objective,
    on_step: Callable[[StepRecord], None] | None,
) -> float:
    """Trains the remaining steps of an epoch; returns the fraction of time spent on waiting."""
    config, (rank, _) = state.config, _rank_and_size()
    epoch, num_steps, batches = steps
    state.network.train()
    if config.freeze_batch_norm:
        _freeze_batch_norm(state.network)
    copies = open_side_stream(state.device)
    started, waited = time.perf_counter(), 0.0
    for batch, seconds in batches:
        rate = learning_rate(config, epoch + state.next_step / num_steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        waited += seconds
        # Every step has a generator of its own, so a run that resumes here draws the same.
        rng = np.random.default_rng([config.seed, epoch, rank, state.next_step])
        loss = train_step(state, batch, objective, rng)
        state.losses.append(float(HostCopy(loss, copies).result()))
        step, state.next_step = state.next_step, state.next_step + 1
        if on_step is not None:
            on_step(StepRecord(step, num_steps, state.losses[-1]))
    return waited / max(time.perf_counter() - started, 1e-9)


def _freeze_batch_norm(network: Reconstructor) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


def train_step(
    state: TrainState, batch: DeviceBatch, objective: Objective, rng: np.random.Generator
) -> torch.Tensor:
    """Updates the weights once; nothing in it waits for the device.

    Args:
        state: network and optimizer, advanced in place.
        batch: samples of the step.
        objective: function to minimise.
        rng: random generator of the augmentation.

    Returns:
        The loss, a scalar on the device, whose computation may still be queued there.
    """
    config, network = state.config, state.network
    draw = draw_augmentation(rng, len(batch.images), config.augment)
    images = augment_images(batch.images, draw)
    targets = mirror_targets(batch.targets, network.mirror, draw)
    total = torch.zeros((), device=state.device)
    state.optimizer.zero_grad(set_to_none=True)
    for part in _parts(len(images), config.micro_batch_size):
        weights = None if batch.weights is None else batch.weights[part]
        # Workers exchange gradients once, with those of the last part.
        is_last = part.stop == len(images)
        with contextlib.nullcontext() if is_last else state.without_exchange():
            with autocast(state.device, config.precision):
                loss = objective.loss(
                    state, images[part], targets[part], batch.is_source[part], weights
                )
            # The loss is a mean over samples.
            loss = loss * ((part.stop - part.start) / len(images))
            loss.backward()
        total += loss.detach()
    state.optimizer.step()
    state.after_step()
    return total


def _parts(num_samples: int, micro_batch_size: int | None) -> list[slice]:
    size = micro_batch_size or num_samples
    starts = range(0, num_samples, size)
    return [slice(start, min(start + size, num_samples)) for start in starts]


def _rank_and_size() -> tuple[int, int]:
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _min_over_workers(count: int) -> int:
    """Returns the smallest count of all workers: one more step on one would block the others."""
    if not torch.distributed.is_initialized():
        return count
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.tensor([count], device=device)
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MIN)
    return int(tensor)
