"""What each worker of a fine-tuning does: it reads its share of the faces, and trains."""

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
from rayboot.registry.metric_logger import AsyncMetricLogger, MetricPoint, async_metric_logger
from rayboot.registry.runs import Run
from rayboot.registry.system_metrics import system_metrics_logger
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.objective import Objective
from rayboot.train.sample_reader import read_samples
from rayboot.train.surface_error import surface_errors
from rayboot.train.telemetry import TrainingTelemetry
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.view_agreement import filter_views

__all__ = ["STATE", "WEIGHTS", "train_worker"]

WEIGHTS, STATE = "network.safetensors", "state.pt"
"""Files of a checkpoint."""

_NOT_VALIDATED = 1e30
"""Loss of a checkpoint within an epoch, so that any other is better. Ray writes its state as
JSON, which knows no infinity: a run could not be gone on with."""


def train_worker(settings: dict[str, Any]) -> None:
    """Trains to the last epoch; what Ray Train calls on every worker.

    Args:
        settings: ``config`` as JSON values, ``weights`` a
            :class:`rayboot.cluster.broadcast.BroadcastFile`, ``run`` the tracking URI and
            the run's id or None, ``board`` the handle of the driver's progress,
            ``log`` what log lines say.
    """
    adopt_context(settings["log"])
    config = FinetuneConfig.model_validate(settings["config"])
    rank = ray.train.get_context().get_world_rank()
    run = Run(*settings["run"]) if settings["run"] else None
    carried: BroadcastFile = settings["weights"]
    with (
        carried.local_path() as weights,
        system_metrics_logger(run, f"worker-{rank}"),
        async_metric_logger(run if rank == 0 else None) as recorder,
    ):
        _train(config, weights, settings["board"], recorder)


def _train(
    config: FinetuneConfig, weights: Path, board: Any, recorder: AsyncMetricLogger | None
) -> None:
    context = ray.train.get_context()
    rank, num_workers = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // num_workers))
    network = load_network(weights)
    train = read_samples(config, network, "train", rank, num_workers)
    val = read_samples(config, network, "val", rank, num_workers)
    # It moves the network to the worker's device.
    forward: Any = ray.train.torch.prepare_model(network)
    if config.compile and config.use_gpu:
        forward = torch.compile(forward)
    train = filter_views(network, train, config)
    objective = _objective(config, weights, next(network.parameters()).device)
    state = TrainState(network, config.optimizer, forward)
    _restore(state, ray.train.get_checkpoint(), recorder)
    gauges = TrainingTelemetry(config.name) if rank == 0 else None
    on_step = _step_hook(config, state, board, recorder, gauges)
    for record in train_epochs(state, train, val, objective=objective, on_step=on_step):
        if recorder is not None and gauges is not None:
            surfaces = surface_errors(state.result, val, config.optimizer)
            recorder.log_metrics({**record._asdict(), **surfaces}, step=record.epoch)
            gauges.report_epoch({**record._asdict(), **surfaces})
        _report(state, record._asdict(), rank, recorder)


def _objective(config: FinetuneConfig, weights: Path, device: torch.device) -> Objective:
    if not config.distillation:
        return Objective()
    return Objective(load_network(weights, str(device)), config.distillation)


def _step_hook(
    config: FinetuneConfig,
    state: TrainState,
    board: Any,
    recorder: AsyncMetricLogger | None,
    gauges: TrainingTelemetry | None,
) -> Callable[[StepRecord], None]:
    """What follows each step: the driver is told, figures are handed over, checkpoints made.

    ``gauges`` are those of rank 0; other ranks have none, and tell nobody.
    """
    rank = ray.train.get_context().get_world_rank()

    def on_step(done: StepRecord) -> None:
        number = state.next_epoch * done.num_steps + done.step + 1
        if gauges is not None:
            total = state.config.num_epochs * done.num_steps
            board.update.remote(Progress(number, total, f"loss {done.loss:.4f}"))
            gauges.report_step(done.loss)
        if recorder is not None:
            recorder.log_metrics({"loss": done.loss}, step=number)
        # The epoch's last step is followed by its own checkpoint.
        if state.next_step % config.checkpoint_steps == 0 and state.next_step < done.num_steps:
            _report(state, {"val_loss": _NOT_VALIDATED}, rank, recorder)

    return on_step


def _restore(
    state: TrainState, checkpoint: ray.train.Checkpoint | None, recorder: AsyncMetricLogger | None
) -> None:
    if checkpoint is None:
        return
    with checkpoint.as_directory() as folder:
        weights = load_network(Path(folder) / WEIGHTS).state_dict()
        position = torch.load(Path(folder) / STATE, weights_only=True)
    state.restore(position, weights)
    if recorder is not None:
        # Taken before this checkpoint, and lost with the worker that had not sent them yet.
        recorder.restore(MetricPoint(*figure) for figure in position.get("figures", ()))


def _report(
    state: TrainState, figures: dict[str, Any], rank: int, recorder: AsyncMetricLogger | None
) -> None:
    if rank != 0:
        ray.train.report(figures)
        return
    result: Reconstructor = state.result
    with tempfile.TemporaryDirectory() as folder:
        save_network(result, Path(folder) / WEIGHTS)
        waiting = [] if recorder is None else [tuple(figure) for figure in recorder.waiting()]
        torch.save({**state.position(), "figures": waiting}, Path(folder) / STATE)
        ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(folder))
