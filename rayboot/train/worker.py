"""The function that Ray Train runs on each worker: read the worker's faces, then train."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from rayboot.cluster.broadcast import BroadcastFile
from rayboot.cluster.progress import Progress
from rayboot.logs import adopt_context
from rayboot.models import Reconstructor, load_network, save_network
from rayboot.models.compilation import compile_on_gpu
from rayboot.registry.metric_logger import AsyncMetricLogger, MetricPoint, async_metric_logger
from rayboot.registry.runs import Run
from rayboot.registry.system_metrics import system_metrics_logger
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.objective import Objective
from rayboot.train.sample_reader import read_samples
from rayboot.train.surface_error import surface_errors
from rayboot.train.telemetry import TrainingTelemetry
from rayboot.train.train_state import TrainState, load_position
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.view_agreement import filter_views

__all__ = ["STATE", "WEIGHTS", "train_worker"]

WEIGHTS, STATE = "network.safetensors", "state.pt"
"""Files of a checkpoint."""

_NOT_VALIDATED = 1e30
"""Validation loss reported for a checkpoint within an epoch; any real loss is smaller. Infinity
would not do: Ray stores its state as JSON, and could not resume a run that reported it."""


def train_worker(settings: dict[str, Any]) -> None:
    """Trains to the last epoch; Ray Train calls it on every worker.

    Args:
        settings: ``config``, the config as JSON values; ``weights``, a
            :class:`rayboot.cluster.broadcast.BroadcastFile`; ``run``, the tracking URI and
            the id of the MLflow run, or None; ``progress``, the handle that
            :func:`rayboot.cluster.progress.follow_progress` yields; ``log``, the context of
            log lines.
    """
    adopt_context(settings["log"])
    config = FinetuneConfig.model_validate(settings["config"])
    rank = ray.train.get_context().get_world_rank()
    run = Run(*settings["run"]) if settings["run"] else None
    broadcast: BroadcastFile = settings["weights"]
    with (
        broadcast.local_path() as weights,
        system_metrics_logger(run, f"worker-{rank}"),
        async_metric_logger(run if rank == 0 else None) as metric_logger,
    ):
        _train(config, weights, settings["progress"], metric_logger)


def _train(
    config: FinetuneConfig, weights: Path, progress: Any, metric_logger: AsyncMetricLogger | None
) -> None:
    context = ray.train.get_context()
    rank, num_workers = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // num_workers))
    network = load_network(weights)
    train = read_samples(config, network, "train", rank, num_workers)
    val = read_samples(config, network, "val", rank, num_workers)
    # prepare_model() also moves the network to the worker's device.
    forward: Any = ray.train.torch.prepare_model(network)
    if config.compile:
        forward = compile_on_gpu(forward, next(network.parameters()).device)
    train = filter_views(network, train, config)
    objective = _objective(config, weights, next(network.parameters()).device)
    state = TrainState(network, config.optimizer, forward)
    _restore(state, ray.train.get_checkpoint(), metric_logger)
    telemetry = TrainingTelemetry(config.name) if rank == 0 else None
    on_step = _step_callback(config, state, progress, metric_logger, telemetry)
    for record in train_epochs(state, train, val, objective=objective, on_step=on_step):
        if metric_logger is not None and telemetry is not None:
            metrics = {**record._asdict(), **surface_errors(state.result, val, config.optimizer)}
            metric_logger.log_metrics(metrics, step=record.epoch)
            telemetry.report_epoch(metrics)
        _report(state, record._asdict(), rank, metric_logger)


def _objective(config: FinetuneConfig, weights: Path, device: torch.device) -> Objective:
    if not config.distillation:
        return Objective()
    return Objective(load_network(weights, str(device)), config.distillation)


def _step_callback(
    config: FinetuneConfig,
    state: TrainState,
    progress: Any,
    metric_logger: AsyncMetricLogger | None,
    telemetry: TrainingTelemetry | None,
) -> Callable[[StepRecord], None]:
    """Returns the function that reports progress, logs metrics and writes checkpoints.

    Only rank 0 has ``telemetry``; other ranks report nothing.
    """
    rank = ray.train.get_context().get_world_rank()

    def on_step(record: StepRecord) -> None:
        step = state.next_epoch * record.num_steps + record.step + 1
        if telemetry is not None:
            total = state.config.num_epochs * record.num_steps
            progress.update.remote(Progress(step, total, f"loss {record.loss:.4f}"))
            telemetry.report_step(record.loss)
        if metric_logger is not None:
            metric_logger.log_metrics({"loss": record.loss}, step=step)
        # The last step of an epoch is followed by the epoch's own checkpoint.
        if state.next_step % config.checkpoint_steps == 0 and state.next_step < record.num_steps:
            _report(state, {"val_loss": _NOT_VALIDATED}, rank, metric_logger)

    return on_step


def _restore(
    state: TrainState,
    checkpoint: ray.train.Checkpoint | None,
    metric_logger: AsyncMetricLogger | None,
) -> None:
    if checkpoint is None:
        return
    with checkpoint.as_directory() as folder:
        weights = load_network(Path(folder) / WEIGHTS).state_dict()
        position = load_position(Path(folder) / STATE)
    state.restore(position, weights)
    if metric_logger is not None:
        # Logged before this checkpoint, but not sent before the former worker ended.
        metric_logger.restore(MetricPoint(*point) for point in position.get("figures", ()))


def _report(
    state: TrainState,
    metrics: dict[str, Any],
    rank: int,
    metric_logger: AsyncMetricLogger | None,
) -> None:
    """Reports metrics to Ray Train; rank 0 adds a checkpoint."""
    if rank != 0:
        ray.train.report(metrics)
        return
    result: Reconstructor = state.result
    with tempfile.TemporaryDirectory() as folder:
        save_network(result, Path(folder) / WEIGHTS)
        pending = [] if metric_logger is None else [tuple(p) for p in metric_logger.pending()]
        torch.save({**state.position(), "figures": pending}, Path(folder) / STATE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
