"""Fine-tuning on a pairs data set with Ray Train.

Each worker reads its part of the faces; targets are transformed on its device.
"""

from functools import partial
from typing import NamedTuple

import torch

from rayboot.cluster.broadcast import BroadcastFile
from rayboot.data.manifest import require_finished
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.storage import absolute_uri, join_uri, require_writable
from rayboot.models import Reconstructor, load_network
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, absolute_tracking_uri, default_tracking_uri
from rayboot.train.data_check import require_pairs
from rayboot.train.objective import Objective
from rayboot.train.run_record import load_manifest_digest
from rayboot.train.sample_reader import read_samples
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig
from rayboot.train.training_run import (
    TrainingResult,
    describe_environment,
    run_task,
    track_training,
)
from rayboot.train.training_task import TrainingTask
from rayboot.train.view_agreement import filter_views

__all__ = ["FinetunePlan", "finetune", "finetune_tracked", "prepare_finetune"]


class FinetuneTask(TrainingTask):
    """Fine-tuning as the workers see it.

    Args:
        config: settings of the run.
        weights: weights of the network to start from.
    """

    title = "fine-tune"

    def __init__(self, config: FinetuneConfig, weights: BroadcastFile) -> None:
        # Ray Train runs its workers in folders of their own.
        self.config: FinetuneConfig = with_absolute_paths(config)
        self._weights = weights

    def make_network(self) -> Reconstructor:
        """Returns the network to start from."""
        with self._weights.local_path() as path:
            return load_network(path)

    def read_samples(
        self, network: Reconstructor, rank: int, num_workers: int
    ) -> tuple[SampleStore, SampleStore]:
        """Reads the worker's part of the faces; see the base class."""
        train = read_samples(self.config, network, "train", rank, num_workers)
        return train, read_samples(self.config, network, "val", rank, num_workers)

    def select_samples(self, network: Reconstructor, train: SampleStore) -> SampleStore:
        """Discards and weighs views by the agreement of the network with their targets."""
        return filter_views(network, train, self.config)

    def make_objective(self, device: torch.device) -> Objective:
        """Returns the network's loss, with distillation where the config sets its weight."""
        if not self.config.distillation:
            return super().make_objective(device)
        with self._weights.local_path() as path:
            teacher = load_network(path, str(device))
        return Objective(teacher, self.config.distillation, self.config.depth_gradient)


def finetune(config: FinetuneConfig, run: Run | None = None) -> TrainingResult:
    """Fine-tunes ``config.model`` on ``config.data``; Ray must be initialised.

    Args:
        config: settings of the run.
        run: MLflow run to which rank 0 logs its metrics.

    Raises:
        UnfinishedDataError: the data set has no manifest.
        RaybootError: the cluster is too small, or no epoch was completed.
        StoreError, DiskFullError, ClusterError: once that is remedied, the same config resumes.
    """
    # The data set may grow while the training runs, and before it is resumed.
    config = config.replace(manifest=require_finished(config.data, config.manifest).digest())
    weights = BroadcastFile.put(resolve_model(config.model, config.tracking_uri).path)
    if run is not None:
        _log_provenance(config, run)
    return run_task(FinetuneTask(config, weights), run)


class FinetunePlan(NamedTuple):
    """A checked request.

    Attributes:
        config: settings of the run, with the model pinned to its version.
        tracking_uri: URI of the MLflow store, valid in any folder.
        manifest: digest of the manifest to train on: of the one that an interrupted run began
            with, else of the config's or the current one.
    """

    config: FinetuneConfig
    tracking_uri: str
    manifest: str


def prepare_finetune(config: FinetuneConfig) -> FinetunePlan:
    """Checks a request before Ray starts.

    Raises:
        RequestError: the model is missing, the data set has too few faces or none for this
            network, or the storage cannot be written.
        UnfinishedDataError: the data set has no manifest.
    """
    tracking_uri = absolute_tracking_uri(config.tracking_uri or default_tracking_uri())
    model = resolve_model(config.model, tracking_uri)
    config = config.replace(model=model.uri, tracking_uri=tracking_uri)
    manifest = load_manifest_digest(config) or config.manifest
    manifest = require_finished(config.data, manifest).digest()
    require_pairs(config.replace(manifest=manifest), model.config)
    require_writable(config.storage)
    return FinetunePlan(config, tracking_uri, manifest)


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
    train = partial(finetune, config.replace(manifest=plan.manifest))
    track_training(config, plan.tracking_uri, target, train, plan.manifest)
    return target


def _log_provenance(config: FinetuneConfig, run: Run) -> None:
    """Logs data set, versions and hardware, so that the run can be repeated."""
    manifest = require_finished(config.data, config.manifest)
    run.log_dataset("pairs", absolute_uri(config.data), manifest.digest(), manifest.counts)
    run.set_tags({"rayboot.manifest_digest": manifest.digest(), **describe_environment(config)})
