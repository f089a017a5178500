"""Fine-tuning on a pairs data set with Ray Train.

The driver names data and settings; each worker reads its share of the faces and
trains, their targets turned on its device. The epoch with the lowest validation loss
is kept.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from rayboot.data.manifest import require_finished
from rayboot.data.pair_index import index_faces, read_faces, share_of
from rayboot.data.splits import Split
from rayboot.data.storage import join_uri, require_writable, write_bytes
from rayboot.errors import RaybootError, RequestError
from rayboot.models import Reconstructor, load_network, save_network
from rayboot.progress import Progress, follow_progress
from rayboot.registry.models import pin_model, resolve_weights
from rayboot.registry.tracking import Run, default_tracking_uri, open_run
from rayboot.train.agreement import sift_views
from rayboot.train.config import FinetuneConfig
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.objective import Objective
from rayboot.train.samples import Sample, SampleStore
from rayboot.train.state import EpochRecord, TrainState

__all__ = [
    "FinetunePlan",
    "FinetuneResult",
    "finetune",
    "finetune_tracked",
    "prepare_finetune",
    "read_samples",
    "repeat_source",
]

_WEIGHTS, _STATE = "network.safetensors", "state.pt"


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
    if best is None or result.checkpoint is None:
        raise RaybootError(f"run {config.name}: no epoch ended; see its log under {result.path}")
    # Ray's own table of figures has only those whose checkpoint is still there.
    with result.checkpoint.as_directory() as folder:
        position = torch.load(Path(folder) / _STATE, weights_only=True)
    epochs = [EpochRecord(*record) for record in position["epochs"]]
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


def _train_worker(settings: dict[str, Any]) -> None:
    config = FinetuneConfig.model_validate(settings["config"])
    context = ray.train.get_context()
    rank = context.get_world_rank()
    torch.manual_seed(config.optimizer.seed)
    if not config.use_gpu:
        torch.set_num_threads(max(1, _cores() // context.get_world_size()))
    network = load_network(settings["weights"])
    train, val = (
        read_samples(config, network, split, rank, context.get_world_size())
        for split in ("train", "val")
    )
    # It moves the network to the worker's device.
    forward = ray.train.torch.prepare_model(network)
    train = sift_views(network, train, config)
    objective = _objective(config, settings["weights"], next(network.parameters()).device)
    state = TrainState(network, config.optimizer, forward)
    _restore(state, ray.train.get_checkpoint())
    tell = _progress_teller(settings["board"], state) if rank == 0 else None
    run = Run(*settings["run"]) if settings["run"] and rank == 0 else None

    def on_step(done: StepRecord) -> None:
        if tell is not None:
            tell(done)
        # The epoch's last step is followed by its own checkpoint.
        if state.next_step % config.checkpoint_steps == 0 and state.next_step < done.num_steps:
            _report(state, {"val_loss": np.inf}, rank)

    for record in train_epochs(state, train, val, objective=objective, on_step=on_step):
        if run is not None:
            run.log_metrics(record._asdict(), step=record.epoch)
        _report(state, record._asdict(), rank)


def _objective(config: FinetuneConfig, weights: str, device: torch.device) -> Objective:
    if not config.distillation:
        return Objective()
    return Objective(load_network(weights, str(device)), config.distillation)


def read_samples(
    config: FinetuneConfig,
    network: Reconstructor,
    split: Split,
    rank: int = 0,
    num_workers: int = 1,
) -> SampleStore:
    """The share of a worker in one split: a sample for each view, in the faces' order.

    The photos' own copies come in as ``config.source_share`` says.

    Args:
        config: of the run.
        network: that learns from them.
        split: ``train`` or ``val``.
        rank: of the worker.
        num_workers: of the run.

    Raises:
        RequestError: there is no face for this worker.
    """
    counts = require_finished(config.data).counts
    share = config.source_share
    copies = share / (1 - share) * counts["views"] / max(1, counts["faces"])
    index = share_of(index_faces(config.data, split), rank, num_workers)
    if len(index) == 0:
        raise RequestError(
            f"{config.data}: no {split} face for worker {rank} of {num_workers}; give more photos, "
            "or fewer workers"
        )
    samples: list[Sample] = []
    shape = (0, 0, 0)
    for face in read_faces(config.data, index, network.target_kind):
        shape = tuple(face["shape"])
        for view in face["views"]:
            transform = np.reshape(np.asarray(view["transform"], np.float64), (3, 4))
            samples.append(Sample(view["image"], face["target"], transform))
        own = repeat_source(face["face_id"], copies)
        samples += [Sample(face["image"], face["target"], own=True)] * own
    return SampleStore(samples, shape, network.decode)


def repeat_source(face_id: str, copies: float) -> int:
    """How often the unrotated photo of ``face_id`` takes part, ``copies`` on average.

    Decided by the id alone, so it depends on no worker and no order.
    """
    draw = int.from_bytes(hashlib.sha256(face_id.encode()).digest()[:8], "big") / 2**64
    return int(copies) + (draw < copies - int(copies))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _restore(state: TrainState, checkpoint: ray.train.Checkpoint | None) -> None:
    if checkpoint is None:
        return
    with checkpoint.as_directory() as folder:
        weights = load_network(Path(folder) / _WEIGHTS).state_dict()
        state.go_to(torch.load(Path(folder) / _STATE, weights_only=True), weights)


def _report(state: TrainState, figures: dict[str, Any], rank: int) -> None:
    if rank != 0:
        ray.train.report(figures)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_network(state.result, Path(folder) / _WEIGHTS)
        torch.save(state.position(), Path(folder) / _STATE)
        ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _progress_teller(board: Any, state: TrainState) -> Callable[[StepRecord], None]:
    def tell(done: StepRecord) -> None:
        step = state.next_epoch * done.num_steps + done.step + 1
        total = state.config.num_epochs * done.num_steps
        board.tell.remote(Progress(step, total, f"loss {done.loss:.4f}"))

    return tell


def _storage_path(storage: str) -> str:
    return storage if "://" in storage else str(Path(storage).expanduser().resolve())
