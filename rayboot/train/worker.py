"""The function that Ray Train runs on each worker: read the worker's samples, then train."""

import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.cluster.progress_bar import Progress
from rayboot.logs import adopt_context
from rayboot.models import Reconstructor, load_network, save_network
from rayboot.models.compilation import compile_on_gpu
from rayboot.registry.metric_logger import AsyncMetricLogger, MetricPoint, async_metric_logger
from rayboot.registry.runs import Run
from rayboot.registry.system_metrics import system_metrics_logger
from rayboot.train.checkpoint_schedule import CheckpointSchedule
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.surface_error import surface_errors
from rayboot.train.telemetry import TrainingTelemetry
from rayboot.train.train_state import EpochRecord, TrainState, load_position
from rayboot.train.training_task import TrainingTask

__all__ = ["STATE", "WEIGHTS", "train_worker"]

WEIGHTS, STATE = "network.safetensors", "state.pt"
"""Files of a checkpoint."""

_NOT_VALIDATED = 1e30
"""Validation loss reported for a checkpoint within an epoch; any real loss is smaller. Infinity
would not do: Ray stores its state as JSON, and could not resume a run that reported it."""


def train_worker(settings: dict[str, Any]) -> None:
    """Trains to the last epoch; Ray Train calls it on every worker.

    Args:
        settings: ``task``, a :class:`TrainingTask`; ``run``, the tracking URI and the id of the
            MLflow run, or None; ``progress``, the handle that
            :func:`rayboot.cluster.progress.follow_progress` yields; ``log``, the context of
            log lines.
    """
    adopt_context(settings["log"])
    rank = ray.train.get_context().get_world_rank()
    run = Run(*settings["run"]) if settings["run"] else None
    with (
        system_metrics_logger(run, f"worker-{rank}"),
        async_metric_logger(run if rank == 0 else None) as metric_logger,
    ):
        _train(settings["task"], settings["progress"], metric_logger)


def _train(task: TrainingTask, progress: Any, metric_logger: AsyncMetricLogger | None) -> None:
    context, config = ray.train.get_context(), task.config
    rank, num_workers = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, count_usable_cores() // num_workers))
    network = task.make_network()
    train, val = task.read_samples(network, rank, num_workers)
    # prepare_model() also moves the network to the worker's device.
    forward: Any = ray.train.torch.prepare_model(network)
    device = next(network.parameters()).device
    if config.compile:
        forward = compile_on_gpu(forward, device)
    train = task.select_samples(network, train)
    objective = task.make_objective(device)
    reporter = _Reporter(task, TrainState(network, config.optimizer, forward), metric_logger)
    reporter.restore(ray.train.get_checkpoint())
    state = reporter.state
    telemetry = TrainingTelemetry(config.name) if rank == 0 else None
    on_step = _step_callback(reporter, progress, metric_logger, telemetry)
    for record in train_epochs(state, train, val, objective=objective, on_step=on_step):
        if metric_logger is not None and telemetry is not None:
            metrics = {**record._asdict(), **surface_errors(state.result, val, config.optimizer)}
            metric_logger.log_metrics(metrics, step=record.epoch)
            telemetry.report_epoch(metrics)
        reporter.report(record._asdict())


def _step_callback(
    reporter: "_Reporter",
    progress: Any,
    metric_logger: AsyncMetricLogger | None,
    telemetry: TrainingTelemetry | None,
) -> Callable[[StepRecord], None]:
    """Returns the function that reports progress, logs metrics and writes checkpoints.

    Only rank 0 has ``telemetry``; other ranks report nothing.
    """
    state = reporter.state

    def on_step(record: StepRecord) -> None:
        step = state.next_epoch * record.num_steps + record.step + 1
        if telemetry is not None:
            total = state.config.num_epochs * record.num_steps
            text = f"loss {record.loss:.4f}{_describe_last(state.epochs)}"
            progress.update.remote(Progress(step, total, text))
            telemetry.report_step(record.loss)
        if metric_logger is not None:
            metric_logger.log_metrics({"loss": record.loss}, step=step)
        # The last step of an epoch is followed by the epoch's own checkpoint.
        if state.next_step < record.num_steps and reporter.is_due():
            reporter.report({"val_loss": _NOT_VALIDATED})

    return on_step


def _describe_last(epochs: list[EpochRecord]) -> str:
    """Text on the last epoch, for the progress bar; empty before the first one ends."""
    if not epochs:
        return ""
    last = epochs[-1]
    return f", epoch {last.epoch + 1}: validation {last.val_loss:.4f}, IoU {last.val_iou:.3f}"


class _Reporter:
    """Reports metrics to Ray Train, and writes and restores checkpoints.

    Args:
        task: the training.
        state: network and optimizer.
        metric_logger: logger of the metrics, whose unsent points a checkpoint contains.
    """

    def __init__(
        self, task: TrainingTask, state: TrainState, metric_logger: AsyncMetricLogger | None
    ) -> None:
        self.state = state
        self._rank = ray.train.get_context().get_world_rank()
        self._metric_logger = metric_logger
        self._schedule = CheckpointSchedule(task.config.checkpoint_steps)
        self._earlier_s, self._started = 0.0, time.monotonic()

    def is_due(self) -> bool:
        """Whether a checkpoint follows the step that was done last."""
        return self._schedule.is_due(self.state.next_step, self.state.device)

    def restore(self, checkpoint: ray.train.Checkpoint | None) -> None:
        """Resumes at a checkpoint, if there is one."""
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            weights = load_network(Path(folder) / WEIGHTS).state_dict()
            position = load_position(Path(folder) / STATE)
        self.state.restore(position, weights)
        # Checkpoints of fine-tunings of version 0.1 have no such entry.
        self._earlier_s = position.get("machine", {}).get("seconds", 0.0)
        if self._metric_logger is not None:
            # Logged before this checkpoint, but not sent before the former worker ended.
            points = position.get("figures", ())
            self._metric_logger.restore(MetricPoint(*point) for point in points)

    def report(self, metrics: dict[str, Any]) -> None:
        """Reports metrics to Ray Train; rank 0 adds a checkpoint."""
        if self._rank == 0:
            self._report_checkpoint(metrics)
        else:
            ray.train.report(metrics)
        self._schedule.restart()

    def _report_checkpoint(self, metrics: dict[str, Any]) -> None:
        result: Reconstructor = self.state.result
        logger = self._metric_logger
        pending = [] if logger is None else [tuple(point) for point in logger.pending()]
        stored = {**self.state.position(), "figures": pending, "machine": self._describe_machine()}
        with tempfile.TemporaryDirectory() as folder:
            save_network(result, Path(folder) / WEIGHTS)
            torch.save(stored, Path(folder) / STATE)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def _describe_machine(self) -> dict[str, Any]:
        """Processor, number of threads, and the seconds that the run took in all its parts."""
        return {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "seconds": self._earlier_s + time.monotonic() - self._started,
        }
