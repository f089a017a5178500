"""Fine-tuning on a pairs data set with Ray Train.

The driver names data and settings; each worker reads its share of the faces and
trains, their targets turned on its device. The epoch with the lowest validation loss
is kept.
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
from rayboot.registry.registration import pin_model_version, resolve_weights
from rayboot.registry.runs import (
    Run,
    absolute_tracking_uri,
    default_tracking_uri,
    open_run,
    resume_run,
)
from rayboot.train.loss_curves import draw_curves
from rayboot.train.run_record import load_run, save_run
from rayboot.train.train_state import EpochRecord
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.worker import STATE, WEIGHTS, train_worker

__all__ = ["FinetunePlan", "FinetuneResult", "finetune", "finetune_tracked", "prepare_finetune"]

_LOG = logging.getLogger(__name__)


class FinetuneResult(NamedTuple):
    """The best epoch's weights (the bytes of a safetensors file), and what every epoch reached."""

    weights: bytes
    epochs: list[EpochRecord]
    best_epoch: int


def finetune(config: FinetuneConfig, run: Run | None = None) -> FinetuneResult:
    """Fine-tunes ``config.model`` on ``config.data``; Ray must be initialised.

    Args:
        config: of the run.
        run: where rank 0 records its figures.

    Raises:
        UnfinishedDataError: the data set has no manifest.
        RaybootError: the cluster is too small, or no epoch was completed.
        StoreError, DiskFullError, ClusterError: the same config goes on when that is remedied.
    """
    require_resources(_workers(config), free_cpus=0)
    weights = BroadcastFile.put(resolve_weights(config.model, config.tracking_uri))
    if run is not None:
        _describe(config, run)
    with (
        translate_ray_errors(config.storage),
        translate_storage_errors(config.storage),
        follow_progress("fine-tune", "step") as board,
    ):
        result = _trainer(config, weights, run, board).fit()
    best = result.get_best_checkpoint("val_loss", "min")
    if best is None or result.checkpoint is None:
        raise RaybootError(f"run {config.name}: no epoch ended; see its log under {result.path}")
    # Ray's own table of figures has only those whose checkpoint is still there.
    with result.checkpoint.as_directory() as folder:
        position = torch.load(Path(folder) / STATE, weights_only=True)
    epochs = [EpochRecord(*record) for record in position["epochs"]]
    for epoch in epochs:
        _LOG.info(
            "epoch %d: loss %.4f, validation %.4f, overlap %.3f, waited %.1f %% of it for data",
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
    """A checked request, the model's alias pinned to its version."""

    config: FinetuneConfig
    tracking_uri: str


def prepare_finetune(config: FinetuneConfig) -> FinetunePlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: the model is missing, or the storage cannot be written.
        UnfinishedDataError: the data set has no manifest.
    """
    tracking_uri = absolute_tracking_uri(config.tracking_uri or default_tracking_uri())
    config = config.replace(
        model=pin_model_version(config.model, tracking_uri), tracking_uri=tracking_uri
    )
    resolve_weights(config.model, tracking_uri)
    require_finished(config.data)
    require_writable(config.storage)
    return FinetunePlan(config, tracking_uri)


def finetune_tracked(plan: FinetunePlan) -> str:
    """Fine-tunes within an MLflow run of its own; Ray must be initialised.

    The same plan again goes on with what was stopped, in the same MLflow run.

    Returns:
        URI of the best epoch's weights, ``STORAGE/NAME.safetensors``.

    Raises:
        RequestError: the storage has a run of this name with another config.
    """
    config = plan.config
    target = join_uri(config.storage, f"{config.name}.safetensors")
    kept = load_run(config)
    if kept is not None and exists(target):
        _LOG.info("%s is there already", target)
        return target
    if kept is None:
        run = open_run(plan.tracking_uri, config.experiment, config.name)
        save_run(config, run)
    else:
        run = resume_run(plan.tracking_uri, kept)
    run.log_params(config.model_dump(mode="json"))
    with run.closing(), logged_run(run.run_id):
        result = finetune(config, run)
        write_bytes(target, result.weights)
        run.set_tags({"weights": target, "best_epoch": str(result.best_epoch)})
    return target


def _describe(config: FinetuneConfig, run: Run) -> None:
    """What a run starts from, so that it can be made again."""
    manifest = require_finished(config.data)
    run.log_dataset("pairs", config.data, manifest.digest(), manifest.counts)
    hardware = {name: amount for name, amount in ray.cluster_resources().items() if ":" not in name}
    kinds = [name for name in ray.cluster_resources() if name.startswith("accelerator_type:")]
    run.set_tags(
        {
            "rayboot.version": __version__,
            "rayboot.config_digest": config.content_digest(),
            "rayboot.manifest_digest": manifest.digest(),
            "hardware": f"{len(ray.nodes())} nodes, {hardware}, {', '.join(kinds) or 'no GPU'}",
            "torch": torch.__version__,
            "seed": str(config.optimizer.seed),
        }
    )


def _workers(config: FinetuneConfig) -> list[Bundle]:
    """What the fewest workers take that training starts with."""
    count = config.num_workers
    fewest = count if isinstance(count, int) else min(count)
    return [{"CPU": config.cpus_per_worker, "GPU": float(config.use_gpu)}] * fewest


def _trainer(
    config: FinetuneConfig, weights: BroadcastFile, run: Run | None, board: Any
) -> TorchTrainer:
    filesystem, path = arrow_filesystem(config.storage)
    return TorchTrainer(
        train_worker,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "weights": weights,
            "run": None if run is None else (run.tracking_uri, run.run_id),
            "board": board,
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
