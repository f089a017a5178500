"""Fine-tuning on a pairs data set with Ray Train.

The driver passes data set and settings; each worker reads its part of the faces and
trains, with targets transformed on its device. The epoch with the lowest validation loss
is returned.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from rayboot import __version__
from rayboot.cluster.broadcast import BroadcastFile
from rayboot.cluster.failures import translate_ray_errors
from rayboot.cluster.progress import follow_progress
from rayboot.cluster.resources import Bundle, require_resources
from rayboot.data.manifest import require_finished
from rayboot.errors import RaybootError
from rayboot.io.retry import translate_storage_errors
from rayboot.io.storage import arrow_filesystem, exists, join_uri, require_writable, write_bytes
from rayboot.logs import current_context, logged_run
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import (
    Run,
    absolute_tracking_uri,
    default_tracking_uri,
    open_run,
    resume_run,
)
from rayboot.train.loss_curves import draw_curves
from rayboot.train.run_record import load_run, save_run
from rayboot.train.train_state import EpochRecord, load_position
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.worker import STATE, WEIGHTS, train_worker

__all__ = ["FinetunePlan", "FinetuneResult", "finetune", "finetune_tracked", "prepare_finetune"]

_LOG = logging.getLogger(__name__)


class FinetuneResult(NamedTuple):
    """The outcome of a fine-tuning.

    Attributes:
        weights: bytes of a safetensors file with the best epoch's weights.
        epochs: record of every epoch.
        best_epoch: number of the best epoch, from 0.
    """

    weights: bytes
    epochs: list[EpochRecord]
    best_epoch: int


def finetune(config: FinetuneConfig, run: Run | None = None) -> FinetuneResult:
    """Fine-tunes ``config.model`` on ``config.data``; Ray must be initialised.

    Args:
        config: settings of the run.
        run: MLflow run to which rank 0 logs its metrics.

    Raises:
        UnfinishedDataError: the data set has no manifest.
        RaybootError: the cluster is too small, or no epoch was completed.
        StoreError, DiskFullError, ClusterError: once that is remedied, the same config resumes.
    """
    require_resources(_min_bundles(config), free_cpus=0)
    weights = BroadcastFile.put(resolve_model(config.model, config.tracking_uri).path)
    if run is not None:
        _log_provenance(config, run)
    with (
        translate_ray_errors(config.storage),
        translate_storage_errors(config.storage),
        follow_progress("fine-tune", "step") as progress,
    ):
        result = _trainer(config, weights, run, progress).fit()
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
        weights_bytes = (Path(folder) / WEIGHTS).read_bytes()
    return FinetuneResult(
        weights_bytes, epochs, int(np.argmin([epoch.val_loss for epoch in epochs]))
    )


class FinetunePlan(NamedTuple):
    """A checked request.

    Attributes:
        config: settings of the run, with the model pinned to its version.
        tracking_uri: URI of the MLflow store, valid in any folder.
    """

    config: FinetuneConfig
    tracking_uri: str


def prepare_finetune(config: FinetuneConfig) -> FinetunePlan:
    """Checks a request before Ray starts.

    Raises:
        RequestError: the model is missing, or the storage cannot be written.
        UnfinishedDataError: the data set has no manifest.
    """
    tracking_uri = absolute_tracking_uri(config.tracking_uri or default_tracking_uri())
    model = resolve_model(config.model, tracking_uri)
    config = config.replace(model=model.uri, tracking_uri=tracking_uri)
    require_finished(config.data)
    require_writable(config.storage)
    return FinetunePlan(config, tracking_uri)


def finetune_tracked(plan: FinetunePlan) -> str:
    """Fine-tunes within an MLflow run of its own; Ray must be initialised.

    The same plan again resumes an interrupted training, in the same MLflow run.

    Returns:
        URI of the best epoch's weights, ``STORAGE/NAME.safetensors``.

    Raises:
        RequestError: the storage contains a run of this name with another config.
    """
    config = plan.config
    target = join_uri(config.storage, f"{config.name}.safetensors")
    run_id = load_run(config)
    if run_id is not None and exists(target):
        _LOG.info("%s exists already", target)
        return target
    if run_id is None:
        run = open_run(plan.tracking_uri, config.experiment, config.name)
        save_run(config, run)
    else:
        run = resume_run(plan.tracking_uri, run_id)
    run.log_params(config.model_dump(mode="json"))
    with run.closing(), logged_run(run.run_id):
        result = finetune(config, run)
        write_bytes(target, result.weights)
        run.set_tags({"weights": target, "best_epoch": str(result.best_epoch)})
    return target


def _log_provenance(config: FinetuneConfig, run: Run) -> None:
    """Logs data set, versions and hardware, so that the run can be repeated."""
    manifest = require_finished(config.data)
    run.log_dataset("pairs", config.data, manifest.digest(), manifest.counts)
    hardware = {name: amount for name, amount in ray.cluster_resources().items() if ":" not in name}
    gpu_types = [name for name in ray.cluster_resources() if name.startswith("accelerator_type:")]
    run.set_tags(
        {
            "rayboot.version": __version__,
            "rayboot.config_digest": config.content_digest(),
            "rayboot.manifest_digest": manifest.digest(),
            "hardware": f"{len(ray.nodes())} nodes, {hardware}, {', '.join(gpu_types) or 'no GPU'}",
            "torch": torch.__version__,
            "seed": str(config.optimizer.seed),
        }
    )


def _min_bundles(config: FinetuneConfig) -> list[Bundle]:
    """Returns the resources of the smallest number of workers with which training can start."""
    num_workers = config.num_workers
    min_workers = num_workers if isinstance(num_workers, int) else min(num_workers)
    return [{"CPU": config.cpus_per_worker, "GPU": float(config.use_gpu)}] * min_workers


def _trainer(
    config: FinetuneConfig, weights: BroadcastFile, run: Run | None, progress: Any
) -> TorchTrainer:
    filesystem, path = arrow_filesystem(config.storage)
    return TorchTrainer(
        train_worker,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "weights": weights,
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
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute="val_loss", checkpoint_score_order="min"
            ),
        ),
    )
