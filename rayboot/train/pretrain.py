"""Training a network on faces with known shape, with Ray Train.

Each worker reads its part of the photos and their ground truth itself.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import rayboot
from rayboot.cluster.broadcast import BroadcastFile
from rayboot.data.ground_truth import digest_truth, index_truth, require_complete_truth
from rayboot.errors import RequestError
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.storage import absolute_uri, exists, join_uri, require_writable, write_bytes
from rayboot.models import (
    HeadConfig,
    NetworkConfig,
    Reconstructor,
    UNetConfig,
    VRNConfig,
    load_network,
    make_network,
)
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, absolute_tracking_uri, default_tracking_uri
from rayboot.train.data_check import require_truth
from rayboot.train.run_record import load_run
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import PretrainConfig
from rayboot.train.training_run import (
    TrainingResult,
    describe_environment,
    run_task,
    track_training,
)
from rayboot.train.training_task import TrainingTask
from rayboot.train.truth_reader import read_truth_samples

__all__ = ["PretrainPlan", "PretrainTask", "prepare_pretrain", "pretrain", "pretrain_tracked"]

_NETWORKS: dict[str, Callable[[], NetworkConfig]] = {
    "unet": UNetConfig,
    "vrn": VRNConfig.compact,
    "head": HeadConfig,
}

_RECORDED = {
    "network",
    "initial_model",
    "val_fraction",
    "num_workers",
    "optimizer",
    "depth_gradient",
}
"""Config keys that the training record has: those that decide the weights."""


class PretrainTask(TrainingTask):
    """Training as the workers see it.

    Args:
        config: settings of the run.
        network: architecture.
        weights: weights to start from; None stands for random ones.
    """

    title = "pretrain"

    def __init__(
        self, config: PretrainConfig, network: NetworkConfig, weights: BroadcastFile | None = None
    ) -> None:
        # Ray Train runs its workers in folders of their own.
        self.config: PretrainConfig = with_absolute_paths(config)
        self.network = network
        self._weights = weights

    def make_network(self) -> Reconstructor:
        """Returns the network to start from."""
        if self._weights is None:
            return make_network(self.network)
        with self._weights.local_path() as path:
            return load_network(path)

    def read_samples(
        self, network: Reconstructor, rank: int, num_workers: int
    ) -> tuple[SampleStore, SampleStore]:
        """Reads the worker's part of the photos; see the base class."""
        return read_truth_samples(self.config, network, rank, num_workers)


class PretrainPlan(NamedTuple):
    """A checked request.

    Attributes:
        config: settings of the run.
        network: architecture.
        tracking_uri: URI of the MLflow store, valid in any folder.
    """

    config: PretrainConfig
    network: NetworkConfig
    tracking_uri: str

    @property
    def weights_uri(self) -> str:
        """URI of the weights, which are written last."""
        return join_uri(self.config.output, f"{self.config.network}.safetensors")


def prepare_pretrain(config: PretrainConfig, network: NetworkConfig | None = None) -> PretrainPlan:
    """Checks a request before Ray starts.

    Args:
        config: settings of the run.
        network: architecture; by default that of the small network named by ``config.network``.

    Raises:
        RequestError: there is no ground truth, or too little or none for this network, the
            initial model is missing or has other sizes, the output cannot be written, or it
            contains another run or its weights.
        UnfinishedDataError: the run that writes the data set has not finished.
    """
    # Errors name the folder that was looked into, not what the config calls it.
    resolved = with_absolute_paths(config)
    require_complete_truth(resolved.data)
    require_writable(resolved.output)
    tracking_uri = absolute_tracking_uri(config.tracking_uri or default_tracking_uri())
    network = network or _NETWORKS[config.network]()
    require_truth(resolved, network)
    if config.initial_model is not None:
        config = _with_initial_model(config, config.initial_model, network, tracking_uri)
    plan = PretrainPlan(config, network, tracking_uri)
    if load_run(config) is None and exists(plan.weights_uri):
        raise RequestError(
            f"{plan.weights_uri} exists, but not the record of a run named {config.name} that "
            "wrote it; choose another output, or move the weights"
        )
    return plan


def _with_initial_model(
    config: PretrainConfig, name: str, network: NetworkConfig, tracking_uri: str
) -> PretrainConfig:
    """Returns the config with the initial model pinned to its version."""
    model = resolve_model(name, tracking_uri)
    if model.config != network:
        raise RequestError(
            f"initial_model: expected a network with {network!r}, {name} has {model.config!r}; "
            "choose another initial model or network"
        )
    return config.replace(initial_model=model.uri)


def pretrain(plan: PretrainPlan, run: Run | None = None) -> TrainingResult:
    """Trains the network; Ray must be initialised.

    Args:
        plan: the request, from :func:`prepare_pretrain`.
        run: MLflow run to which rank 0 logs its metrics.

    Raises:
        RequestError: there is no photo for one of the workers.
        RaybootError: the cluster is too small, or no epoch was completed.
        StoreError, DiskFullError, ClusterError: once that is remedied, the same config resumes.
    """
    if run is not None:
        data = absolute_uri(plan.config.data)
        digest = digest_truth(data)
        run.log_dataset("synthetic faces", data, digest, {"photos": len(index_truth(data))})
        run.set_tags({"rayboot.data_digest": digest, **describe_environment(plan.config)})
    return run_task(PretrainTask(plan.config, plan.network, _initial_weights(plan)), run)


def _initial_weights(plan: PretrainPlan) -> BroadcastFile | None:
    initial = plan.config.initial_model
    if initial is None:
        return None
    return BroadcastFile.put(resolve_model(initial, plan.tracking_uri).path)


def pretrain_tracked(plan: PretrainPlan) -> str:
    """Trains within an MLflow run of its own; Ray must be initialised.

    ``record.json`` beside the weights documents the run. The same plan again resumes an
    interrupted training, in the same MLflow run.

    Returns:
        URI of the best epoch's weights, ``OUTPUT/NETWORK.safetensors``.

    Raises:
        RequestError: the output contains a run of this name with another config.
    """

    def train(run: Run) -> TrainingResult:
        result = pretrain(plan, run)
        record = json.dumps(_describe_run(plan, result), indent=1) + "\n"
        write_bytes(join_uri(plan.config.output, "record.json"), record.encode())
        return result

    track_training(plan.config, plan.tracking_uri, plan.weights_uri, train)
    return plan.weights_uri


def _describe_run(plan: PretrainPlan, result: TrainingResult) -> dict[str, Any]:
    return {
        "rayboot": rayboot.__version__,
        "torch": torch.__version__.split("+")[0],
        "processor": result.machine["processor"],
        "threads": result.machine["threads"],
        "seconds": round(result.machine["seconds"]),
        "config": plan.config.model_dump(mode="json", include=_RECORDED),
        "network": plan.network.model_dump(mode="json"),
        "epochs": [record._asdict() for record in result.epochs],
    }
