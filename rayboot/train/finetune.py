"""Fine-tuning on a pairs data set with Ray Train.

The driver names data and settings; each worker reads its share, turns the
targets once, and trains. The epoch with the lowest validation loss is kept.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray.data
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from rayboot.data.pairs import read_pairs
from rayboot.errors import RaybootError
from rayboot.models import load_vrn, save_vrn
from rayboot.registry.models import resolve_weights
from rayboot.registry.tracking import Run
from rayboot.train.config import FinetuneConfig
from rayboot.train.loop import EpochRecord, TrainState, train_epochs
from rayboot.train.samples import SampleStore
from rayboot.train.targets import TurnTargets, repeat_source

__all__ = ["FinetuneResult", "finetune"]

_WEIGHTS, _STATE = "vrn.safetensors", "state.pt"


class FinetuneResult(NamedTuple):
    """Where the best epoch's weights are, and what every epoch reached."""

    weights: Path
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
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "weights": weights,
            "run": None if run is None else (run.tracking_uri, run.run_id),
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
    result = trainer.fit()
    best = result.get_best_checkpoint("val_loss", "min")
    if best is None:
        raise RaybootError(f"run {config.name}: no epoch ended; see its log under {result.path}")
    epochs = [
        EpochRecord(**{field: row[field] for field in EpochRecord._fields})
        for row in result.metrics_dataframe.to_dict("records")
    ]
    target = Path(tempfile.mkdtemp(prefix="rayboot-")) / _WEIGHTS
    with best.as_directory() as folder:
        target.write_bytes((Path(folder) / _WEIGHTS).read_bytes())
    return FinetuneResult(target, epochs, int(np.argmin([epoch.val_loss for epoch in epochs])))


def training_rows(config: FinetuneConfig, split: str) -> ray.data.Dataset:
    """Samples of one split: image, shape and turned target, one row each.

    The photos' own copies come in as ``config.source_share`` says.
    """
    rows = read_pairs(config.data, split=split, include_source=config.source_share > 0)
    if config.source_share > 0:
        sources = rows.filter(lambda row: row["is_source"]).count()
        views = rows.count() - sources
        share = config.source_share
        copies = share / (1 - share) * views / max(1, sources)
        rows = rows.flat_map(
            lambda row: [row] * (repeat_source(row["face_id"], copies) if row["is_source"] else 1)
        )
    return rows.map_batches(TurnTargets(), batch_format="pyarrow", batch_size=32)


def _train_worker(settings: dict[str, Any]) -> None:
    config = FinetuneConfig.model_validate(settings["config"])
    context = ray.train.get_context()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, _cores() // context.get_world_size()))
    train, val = (_read_store(ray.train.get_dataset_shard(name)) for name in ("train", "val"))
    network = load_vrn(settings["weights"])
    state = TrainState(ray.train.torch.prepare_model(network), config.optimizer)
    _restore(state, network, ray.train.get_checkpoint())
    run = Run(*settings["run"]) if settings["run"] and context.get_world_rank() == 0 else None
    for record in train_epochs(state, train, val, on_step=_print_progress(context)):
        if run is not None:
            run.log_metrics(record._asdict(), step=record.epoch)
        _report(state, network, record, context.get_world_rank())


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _read_store(shard: ray.data.DataIterator) -> SampleStore:
    samples: list[tuple[np.ndarray, bytes]] = []
    shape = None
    for batch in shard.iter_batches(batch_size=64, batch_format="numpy"):
        shape = shape or tuple(int(length) for length in batch["shape"][0])
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


def _report(
    state: TrainState, network: torch.nn.Module, record: EpochRecord, rank: int
) -> None:
    if rank != 0:
        ray.train.report(record._asdict())
        return
    with tempfile.TemporaryDirectory() as folder:
        save_vrn(network, Path(folder) / _WEIGHTS)
        torch.save(
            {"optimizer": state.optimizer.state_dict(), "next_epoch": state.next_epoch},
            Path(folder) / _STATE,
        )
        ray.train.report(
            record._asdict(), checkpoint=ray.train.Checkpoint.from_directory(folder)
        )


def _print_progress(context: ray.train.TrainContext):  # noqa: ANN202
    def on_step(step: int, num_steps: int, loss: float) -> None:
        if context.get_world_rank() == 0 and (step % 20 == 0 or step == num_steps - 1):
            print(f"  step {step + 1}/{num_steps}  loss {loss:.4f}", flush=True)

    return on_step


def _storage_path(storage: str) -> str:
    return storage if "://" in storage else str(Path(storage).expanduser().resolve())
