"""Fine-tuning on a pairs data set with Ray Train.

The driver names data and settings; each worker reads its share, turns the
targets once, and trains. The epoch with the lowest validation loss is kept.
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray.data
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from rayboot.data.manifest import require_finished
from rayboot.data.pairs import read_pairs
from rayboot.data.splits import Split
from rayboot.data.storage import join_uri, require_writable, write_bytes
from rayboot.errors import RaybootError
from rayboot.models import VRN, load_vrn, save_vrn
from rayboot.progress import Progress, follow_progress
from rayboot.registry.models import pin_model, resolve_weights
from rayboot.registry.tracking import Run, default_tracking_uri, open_run
from rayboot.train.config import FinetuneConfig
from rayboot.train.loop import EpochRecord, TrainState, train_epochs
from rayboot.train.samples import SampleStore
from rayboot.train.targets import TurnTargets, repeat_source

__all__ = [
    "FinetunePlan",
    "FinetuneResult",
    "finetune",
    "finetune_tracked",
    "prepare_finetune",
]

_WEIGHTS, _STATE = "vrn.safetensors", "state.pt"


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
        RaybootError: no epoch was completed.
    """
    weights = str(resolve_weights(config.model, config.tracking_uri))
    with follow_progress("fine-tune", "step") as board:
        result = _trainer(config, weights, run, board).fit()
    best = result.get_best_checkpoint("val_loss", "min")
    if best is None:
        raise RaybootError(f"run {config.name}: no epoch ended; see its log under {result.path}")
    frame = result.metrics_dataframe
    assert frame is not None  # there is a checkpoint, so an epoch was reported
    epochs = [
        EpochRecord(**{field: row[field] for field in EpochRecord._fields})
        for row in frame.to_dict("records")
    ]
    with best.as_directory() as folder:
        weights_bytes = (Path(folder) / _WEIGHTS).read_bytes()
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
    tracking_uri = config.tracking_uri or default_tracking_uri()
    config = config.replace(model=pin_model(config.model, tracking_uri), tracking_uri=tracking_uri)
    resolve_weights(config.model, tracking_uri)
    require_finished(config.data)
    require_writable(config.storage)
    return FinetunePlan(config, tracking_uri)


def finetune_tracked(plan: FinetunePlan) -> str:
    """Fine-tunes within a new MLflow run; Ray must be initialised.

    Returns:
        URI of the best epoch's weights, ``STORAGE/NAME.safetensors``.
    """
    config = plan.config
    run = open_run(plan.tracking_uri, config.experiment, config.name)
    run.log_params(config.model_dump(mode="json"))
    with run.closing():
        result = finetune(config, run)
        target = join_uri(config.storage, f"{config.name}.safetensors")
        write_bytes(target, result.weights)
        run.set_tags({"weights": target, "best_epoch": str(result.best_epoch)})
    return target


def _trainer(config: FinetuneConfig, weights: str, run: Run | None, board: Any) -> TorchTrainer:
    return TorchTrainer(
        _train_worker,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "weights": weights,
            "run": None if run is None else (run.tracking_uri, run.run_id),
            "board": board,
        },
        datasets={
            "train": training_rows(config, "train"),
            "val": training_rows(config, "val"),
        },
        # Every worker validates on all of it, so that all see the same figure.
        dataset_config=ray.train.DataConfig(datasets_to_split=["train"]),
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, "GPU": int(config.use_gpu)},
        ),
        run_config=ray.train.RunConfig(
            name=config.name,
            storage_path=_storage_path(config.storage),
            failure_config=ray.train.FailureConfig(max_failures=2),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute="val_loss", checkpoint_score_order="min"
            ),
        ),
    )


def training_rows(config: FinetuneConfig, split: Split) -> ray.data.Dataset:
    """Samples of one split: image, shape and turned target, one row each.

    The photos' own copies come in as ``config.source_share`` says.
    """
    rows = read_pairs(config.data, split=split, include_source=config.source_share > 0)
    if config.source_share > 0:
        counts = require_finished(config.data).counts
        share = config.source_share
        copies = share / (1 - share) * counts["views"] / max(1, counts["faces"])
        rows = rows.flat_map(
            lambda row: [row] * (repeat_source(row["face_id"], copies) if row["is_source"] else 1)
        )
    # A small data set is one block, whose targets one process would turn alone.
    return rows.repartition(target_num_rows_per_block=128).map_batches(
        TurnTargets(), batch_format="pyarrow", batch_size=32
    )


def _train_worker(settings: dict[str, Any]) -> None:
    config = FinetuneConfig.model_validate(settings["config"])
    context = ray.train.get_context()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, _cores() // context.get_world_size()))
    shards = [ray.train.get_dataset_shard(name) for name in ("train", "val")]
    # Side by side: starting to read takes longer than reading a small data set.
    with ThreadPoolExecutor(len(shards)) as pool:
        train, val = pool.map(_read_store, shards)
    network = load_vrn(settings["weights"])
    state = TrainState(ray.train.torch.prepare_model(network), config.optimizer)
    _restore(state, network, ray.train.get_checkpoint())
    on_step = _progress_teller(settings["board"], state, context.get_world_rank())
    run = Run(*settings["run"]) if settings["run"] and context.get_world_rank() == 0 else None
    for record in train_epochs(state, train, val, on_step=on_step):
        if run is not None:
            run.log_metrics(record._asdict(), step=record.epoch)
        _report(state, network, record, context.get_world_rank())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _read_store(shard: ray.data.DataIterator) -> SampleStore:
    samples: list[tuple[np.ndarray, bytes]] = []
    shape: tuple[int, int, int] | None = None
    for batch in shard.iter_batches(batch_size=64, batch_format="numpy"):
        depth, height, width = (int(length) for length in batch["shape"][0])
        shape = (depth, height, width)
        samples += zip(batch["image"], batch["target"], strict=True)
    return SampleStore(samples, shape or (0, 0, 0))


def _restore(
    state: TrainState, network: torch.nn.Module, checkpoint: ray.train.Checkpoint | None
) -> None:
    if checkpoint is None:
        return
    with checkpoint.as_directory() as folder:
        network.load_state_dict(load_vrn(Path(folder) / _WEIGHTS).state_dict())
        saved = torch.load(Path(folder) / _STATE, weights_only=True)
    state.optimizer.load_state_dict(saved["optimizer"])
    state.next_epoch = saved["next_epoch"]


def _report(state: TrainState, network: VRN, record: EpochRecord, rank: int) -> None:
    if rank != 0:
        ray.train.report(record._asdict())
        return
    with tempfile.TemporaryDirectory() as folder:
        save_vrn(network, Path(folder) / _WEIGHTS)
        torch.save(
            {"optimizer": state.optimizer.state_dict(), "next_epoch": state.next_epoch},
            Path(folder) / _STATE,
        )
        ray.train.report(record._asdict(), checkpoint=ray.train.Checkpoint.from_directory(folder))


def _progress_teller(
    board: Any, state: TrainState, rank: int
) -> Callable[[int, int, float], None] | None:
    if rank != 0:
        return None

    def tell(step: int, num_steps: int, loss: float) -> None:
        done = state.next_epoch * num_steps + step + 1
        board.tell.remote(Progress(done, state.config.num_epochs * num_steps, f"loss {loss:.4f}"))

    return tell


def _storage_path(storage: str) -> str:
    return storage if "://" in storage else str(Path(storage).expanduser().resolve())
