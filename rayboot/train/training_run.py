"""A training with Ray Train as the driver sees it, the same for every task.

The driver passes the task; each worker reads its part of the samples and trains. Checkpoints are
stored below the run's folder, and a run that is started again resumes from the last one. The
epoch with the lowest validation loss is returned.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
import ray.train
import torch
from ray.train import UserCallback
from ray.train.torch import TorchConfig, TorchTrainer

from rayboot import __version__
from rayboot.cluster.failures import find_rayboot_error, translate_ray_errors
from rayboot.cluster.progress import follow_progress
from rayboot.cluster.resources import Bundle, require_resources
from rayboot.errors import (
    RaybootError,
    RequestError,
    ShapeError,
    UnfinishedDataError,
    WeightsError,
)
from rayboot.io.retry import translate_storage_errors
from rayboot.io.storage import arrow_filesystem, exists, write_bytes
from rayboot.logs import current_context, logged_run
from rayboot.registry.runs import Run, open_run, resume_run
from rayboot.train.loss_curves import draw_curves
from rayboot.train.run_record import load_run, save_run
from rayboot.train.train_state import EpochRecord, load_position
from rayboot.train.training_config import TrainingConfig
from rayboot.train.training_task import TrainingTask
from rayboot.train.worker import STATE, WEIGHTS, train_worker

__all__ = ["TrainingResult", "describe_environment", "run_task", "track_training"]

_PERMANENT = (RequestError, ShapeError, UnfinishedDataError, WeightsError)
"""Errors that do not go away when workers are restarted."""

_LOG = logging.getLogger(__name__)


class TrainingResult(NamedTuple):
    """The outcome of a training.

    Attributes:
        weights: bytes of a safetensors file with the best epoch's weights.
        epochs: record of every epoch.
        best_epoch: number of the best epoch, from 0.
        machine: ``processor`` and ``threads`` of the worker of rank 0, and the ``seconds`` that
            all parts of the run took; empty if version 0.1 wrote the last checkpoint.
    """

    weights: bytes
    epochs: list[EpochRecord]
    best_epoch: int
    machine: dict[str, Any]


def run_task(task: TrainingTask, run: Run | None = None) -> TrainingResult:
    """Trains to the last epoch; Ray must be initialised.

    Args:
        task: the training.
        run: MLflow run to which rank 0 logs its metrics.

    Raises:
        RequestError: there is no sample for one of the workers.
        RaybootError: the cluster is too small, or no epoch was completed.
        StoreError, DiskFullError, ClusterError: once that is remedied, the same config resumes.
    """
    config = task.config
    require_resources(_min_bundles(config), free_cpus=0)
    if not config.use_gpu and (num_gpus := ray.cluster_resources().get("GPU", 0)):
        _LOG.warning("%g GPUs of the cluster are not used; use_gpu: true trains on them", num_gpus)
    with (
        translate_ray_errors(config.checkpoint_uri),
        translate_storage_errors(config.checkpoint_uri),
        follow_progress(task.title, "step") as progress,
    ):
        result = _fit(_trainer(task, run, progress))
    best = result.get_best_checkpoint("val_loss", "min")
    if best is None or result.checkpoint is None:
        raise RaybootError(
            f"run {config.name}: training ended before its first epoch did; the workers' log is "
            f"under {result.path}"
        )
    # Ray's own table of metrics contains only epochs whose checkpoint still exists.
    with result.checkpoint.as_directory() as folder:
        position = load_position(Path(folder) / STATE)
    epochs = [EpochRecord(*record) for record in position["epochs"]]
    for epoch in epochs:
        _LOG.info(
            "epoch %d: loss %.4f, validation %.4f, IoU %.3f, waited %.1f %% of the time for data",
            epoch.epoch + 1, epoch.train_loss, epoch.val_loss, epoch.val_iou, 100 * epoch.waited,
        )  # fmt: skip
    if run is not None:
        run.log_bytes("curves.png", draw_curves(epochs))
    with best.as_directory() as folder:
        weights = (Path(folder) / WEIGHTS).read_bytes()
    best_epoch = int(np.argmin([epoch.val_loss for epoch in epochs]))
    return TrainingResult(weights, epochs, best_epoch, position.get("machine", {}))


def track_training(
    config: TrainingConfig,
    tracking_uri: str,
    target: str,
    train: Callable[[Run], TrainingResult],
    manifest: str | None = None,
) -> None:
    """Trains within an MLflow run of its own, and writes the best epoch's weights.

    The same config again resumes an interrupted training, in the same MLflow run; if the weights
    of a finished one exist, nothing is done.

    Args:
        config: settings of the run.
        tracking_uri: URI of the MLflow store, valid in any folder.
        target: URI of the weights, which are written last.
        train: function that trains, given the MLflow run.
        manifest: digest of the manifest of the data set, for runs that resume this one.

    Raises:
        RequestError: the folder contains a run of this name with another config.
    """
    run_id = load_run(config)
    if run_id is not None and exists(target):
        _LOG.info("%s exists already", target)
        return
    if run_id is None:
        run = open_run(tracking_uri, config.experiment, config.name)
        save_run(config, run, manifest)
    else:
        run = resume_run(tracking_uri, run_id)
    run.log_params(config.model_dump(mode="json"))
    with run.closing(), logged_run(run.run_id):
        result = train(run)
        write_bytes(target, result.weights)
        run.set_tags({"weights": target, "best_epoch": str(result.best_epoch)})


def describe_environment(config: TrainingConfig) -> dict[str, str]:
    """Returns versions, hardware and seed as tags of an MLflow run, so that it can be repeated."""
    resources = ray.cluster_resources()
    hardware = {name: amount for name, amount in resources.items() if ":" not in name}
    gpu_types = [name for name in resources if name.startswith("accelerator_type:")]
    return {
        "rayboot.version": __version__,
        "rayboot.config_digest": config.content_digest(),
        "hardware": f"{len(ray.nodes())} nodes, {hardware}, {', '.join(gpu_types) or 'no GPU'}",
        "torch": torch.__version__,
        "seed": str(config.optimizer.seed),
    }


def _fit(trainer: TorchTrainer) -> ray.train.Result:
    """Trains; an error that a worker raised on purpose is raised as it is, without Ray's around it.

    Losses of workers are Ray's own errors and are left to :func:`translate_ray_errors`.
    """
    try:
        return trainer.fit()
    except ray.train.ControllerError as error:
        known = find_rayboot_error(error)
        if known is None:
            raise
        raise known from error


class StopAtPermanentError(UserCallback):
    """Ends a run at an error that every further try would meet again.

    Ray Train restarts all workers at any error, as often as it restarts them after a loss.
    """

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
        """Raises the error in Ray Train's controller, which ends the run there."""
        for error in worker_exceptions.values():
            known = find_rayboot_error(error)
            if isinstance(known, _PERMANENT):
                raise known


def _min_bundles(config: TrainingConfig) -> list[Bundle]:
    """Returns the resources of the smallest number of workers with which training can start."""
    num_workers = config.num_workers
    min_workers = num_workers if isinstance(num_workers, int) else min(num_workers)
    return [{"CPU": config.cpus_per_worker, "GPU": float(config.use_gpu)}] * min_workers


def _trainer(task: TrainingTask, run: Run | None, progress: Any) -> TorchTrainer:
    config = task.config
    filesystem, path = arrow_filesystem(config.checkpoint_uri)
    return TorchTrainer(
        train_worker,
        train_loop_config={
            "task": task,
            "run": None if run is None else (run.tracking_uri, run.run_id),
            "progress": progress,
            "log": current_context(),
        },
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers,  # type: ignore[arg-type]
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, "GPU": int(config.use_gpu)},
        ),
        run_config=ray.train.RunConfig(
            name=config.name,
            # Ray's type stubs know the callbacks of an earlier version.
            callbacks=[StopAtPermanentError()],  # type: ignore[list-item]
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute="val_loss", checkpoint_score_order="min"
            ),
        ),
    )
