import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train import ControllerError, FailureConfig, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy

from rayboot.cluster.failures import find_rayboot_error
from rayboot.errors import (
    ClusterError,
    RaybootError,
    RequestError,
    StoreError,
    UnfinishedDataError,
)
from rayboot.models import HeadConfig, HeadRegressor, UNetConfig, load_network
from rayboot.registry.runs import make_client
from rayboot.train.pretrain import PretrainTask, prepare_pretrain, pretrain, pretrain_tracked
from rayboot.train.training_config import OptimizerConfig, PretrainConfig
from rayboot.train.training_run import StopAtPermanentError, run_task
from tests.train_workers import killing_worker

TINY_UNET = UNetConfig(channels=(16, 16), num_blocks=1, head_channels=16)
TINY_HEAD = HeadConfig(channels=(16, 16, 16, 16, 16), features=32)


def config(data: str, output: Path, **changes: Any) -> PretrainConfig:
    optimizer = OptimizerConfig(batch_size=8, num_epochs=1, precision="float32", seed=3)
    settings = {"optimizer": optimizer, "cpus_per_worker": 0.5, **changes}
    return PretrainConfig(data=data, output=str(output), val_fraction=0.3, **settings)


def test_a_head_regressor_is_trained_by_two_workers(
    synthetic_set: str, tmp_path: Path, ray_local: Any
) -> None:
    optimizer = OptimizerConfig(
        batch_size=8, num_epochs=8, learning_rate=2e-3, precision="float32", seed=3
    )
    run = config(synthetic_set, tmp_path, network="head", num_workers=2, optimizer=optimizer)
    result = pretrain(prepare_pretrain(run, TINY_HEAD))
    (tmp_path / "head.safetensors").write_bytes(result.weights)
    network = load_network(tmp_path / "head.safetensors")
    assert isinstance(network, HeadRegressor)
    assert network.config == TINY_HEAD
    first, *_, last = result.epochs
    # Distances are fractions of the outer eye distance; no head is far from the mean head.
    assert 0.02 < last.val_loss < first.val_loss < 0.6
    assert 0.3 < last.val_iou < 1


@pytest.fixture(scope="module")
def interrupted(
    synthetic_set: str,
    tmp_path_factory: pytest.TempPathFactory,
    ray_local: Any,
    create_mlflow_store: Callable[[Path], str],
) -> Path:
    """Folder of two runs of a config: ``whole``, and ``cut`` within an epoch and resumed."""
    folder = tmp_path_factory.mktemp("pretrain")
    store = create_mlflow_store(folder)
    optimizer = OptimizerConfig(
        batch_size=2,
        num_epochs=2,
        precision="float32",
        schedule="cosine",
        augment={"flip": True, "crop_shift": 0.05, "color_jitter": 0.2},
    )

    def train(output: Path) -> str:
        run = config(
            synthetic_set,
            output,
            network="unet",
            optimizer=optimizer,
            checkpoint_steps=2,
            max_failures=0,
            tracking_uri=store,
            experiment=output.name,
        )
        return pretrain_tracked(prepare_pretrain(run, TINY_UNET))

    assert train(folder / "whole") == str(folder / "whole/unet.safetensors")
    with killing_worker(folder / "cut/pretrain", 1) as killed, pytest.raises(ClusterError):
        train(folder / "cut")
    gc.collect()
    assert killed
    assert not (folder / "cut/unet.safetensors").exists()
    # Nothing is left of the run in this process, so this is what a new process does.
    train(folder / "cut")
    return folder


def test_an_interrupted_run_ends_with_the_same_weights(interrupted: Path) -> None:
    whole, resumed = (
        load_network(interrupted / name / "unet.safetensors").state_dict()
        for name in ("whole", "cut")
    )
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_record_documents_the_run(interrupted: Path) -> None:
    whole, resumed = (
        json.loads((interrupted / name / "record.json").read_text()) for name in ("whole", "cut")
    )
    assert set(whole) == {
        *("rayboot", "torch", "processor", "threads", "seconds", "config", "network", "epochs"),
    }
    assert whole["config"]["optimizer"]["seed"] == 0
    assert whole["network"]["channels"] == [16, 16]
    assert [epoch["epoch"] for epoch in whole["epochs"]] == [0, 1]
    for epoch, same in zip(whole["epochs"], resumed["epochs"], strict=True):
        assert {**epoch, "waited": 0} == {**same, "waited": 0}


def test_a_resumed_run_is_one_mlflow_run(interrupted: Path) -> None:
    client = make_client(f"sqlite:///{interrupted / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cut")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["weights"] == str(interrupted / "cut/unet.safetensors")
    losses = client.get_metric_history(run.info.run_id, "val_loss")
    assert sorted(point.step for point in losses) == [0, 1]


def test_another_config_is_refused(interrupted: Path, synthetic_set: str) -> None:
    with pytest.raises(RequestError, match="begun with another config_digest"):
        prepare_pretrain(config(synthetic_set, interrupted / "cut", network="unet"))


def test_training_starts_from_the_weights_of_another_run(
    interrupted: Path, synthetic_set: str, tmp_path: Path, ray_local: Any
) -> None:
    weights = interrupted / "whole/unet.safetensors"
    # So low a rate leaves the weights as they are.
    optimizer = OptimizerConfig(batch_size=8, num_epochs=1, learning_rate=1e-12, seed=3)
    run = config(
        synthetic_set, tmp_path, network="unet", initial_model=str(weights), optimizer=optimizer
    )
    (tmp_path / "unet.safetensors").write_bytes(pretrain(prepare_pretrain(run, TINY_UNET)).weights)
    initial, trained = (
        load_network(path).state_dict() for path in (weights, tmp_path / "unet.safetensors")
    )
    names = [name for name in initial if name.endswith(".weight")]
    assert all(torch.allclose(initial[name], trained[name], atol=1e-6) for name in names)


def test_an_initial_model_of_other_sizes_is_refused(
    interrupted: Path, synthetic_set: str, tmp_path: Path
) -> None:
    weights = str(interrupted / "whole/unet.safetensors")
    with pytest.raises(RequestError, match=r"expected a network with .*channels=\(48, 80"):
        prepare_pretrain(config(synthetic_set, tmp_path, network="unet", initial_model=weights))


def test_ray_train_restarts_workers_for_losses_alone() -> None:
    callback, policy = StopAtPermanentError(), DefaultFailurePolicy(FailureConfig(max_failures=8))
    lost: dict[int, Exception] = {0: UserExceptionWithTraceback(StoreError("away"), "Traceback")}
    callback.after_exception(None, lost)
    assert policy.make_decision(WorkerGroupError("away", lost)).value == "RETRY"
    wrong = UserExceptionWithTraceback(RequestError("no photo"), "Traceback")
    with pytest.raises(RequestError, match="no photo") as caught:
        callback.after_exception(None, {1: wrong})
    # Ray's controller wraps what a callback raises.
    error = ControllerError(caught.value)
    assert policy.make_decision(error).value == "RAISE"
    assert isinstance(find_rayboot_error(error), RequestError)


def test_an_error_of_the_request_is_not_retried(tmp_path: Path, ray_local: Any) -> None:
    tries = tmp_path / "tries"

    class RefusingTask(PretrainTask):
        def read_samples(self, *arguments: Any) -> Any:
            with tries.open("a") as file:
                file.write("x")
            raise RequestError("no photo for this worker")

    run = config("never read", tmp_path / "out", network="unet", max_failures=8)
    with pytest.raises(RaybootError, match="no photo for this worker") as caught:
        run_task(RefusingTask(run, TINY_UNET))
    gc.collect()
    assert isinstance(caught.value, RequestError)
    assert tries.read_text() == "x"


def test_weights_of_another_run_are_not_replaced(synthetic_set: str, tmp_path: Path) -> None:
    (tmp_path / "vrn.safetensors").write_bytes(b"weights")
    with pytest.raises(RequestError, match="choose another output"):
        prepare_pretrain(config(synthetic_set, tmp_path))


def test_data_without_truth_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="expected ground truth"):
        prepare_pretrain(config(str(tmp_path / "none"), tmp_path))


def test_an_unfinished_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set/truth").mkdir(parents=True)
    (tmp_path / "set/truth/part-00000.parquet").write_bytes(b"")
    with pytest.raises(UnfinishedDataError, match="unfinished"):
        prepare_pretrain(config(str(tmp_path / "set"), tmp_path))
