"""A worker that is lost in the middle of an epoch changes nothing but the duration."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch

from rayboot.models import VRN, VRNConfig, save_network
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from rayboot.train.training_run import TrainingResult
from tests.data.pair_sets import NUM_FACES, SHAPE, face, write_pairs
from tests.train_workers import killing_worker

pytestmark = pytest.mark.slow


TINY = VRNConfig.compact().replace(
    resolution=SHAPE[2], slices=SHAPE[0], channels=16, stem_channels=8, stem_bottleneck=4
)


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(VRN(TINY), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def run_finetune(
    folder: Path, data: str, weights: Path, num_workers: int | tuple[int, int]
) -> TrainingResult:
    optimizer = OptimizerConfig(
        batch_size=4, num_epochs=3, precision="float32", augment={"flip": True}
    )
    return finetune(
        FinetuneConfig(
            data=data,
            model=str(weights),
            storage=str(folder),
            checkpoint_steps=2,
            num_workers=num_workers,
            cpus_per_worker=0.5,
            optimizer=optimizer,
        )
    )


@pytest.mark.parametrize("num_workers", [1, 2])
def test_training_resumes_from_the_last_checkpoint_of_a_lost_worker(
    tmp_path: Path, ray_local: Any, tiny_weights: Path, num_workers: int
) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(4 * NUM_FACES)])
    undisturbed = run_finetune(tmp_path / "whole", data, tiny_weights, num_workers)
    with killing_worker(tmp_path / "cut/finetune", 3) as killed:
        disturbed = run_finetune(tmp_path / "cut", data, tiny_weights, num_workers)
    assert killed
    assert [record.epoch for record in disturbed.epochs] == [0, 1, 2]
    for before, after in zip(undisturbed.epochs, disturbed.epochs, strict=True):
        assert after._replace(waited=0.0) == before._replace(waited=0.0)
    assert disturbed.weights == undisturbed.weights
    assert np.isfinite(disturbed.epochs[-1].val_loss)


def test_elastic_training_matches_a_fixed_number_of_workers(
    tmp_path: Path, ray_local: Any, tiny_weights: Path
) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(4 * NUM_FACES)])
    undisturbed = run_finetune(tmp_path / "whole", data, tiny_weights, 2)
    with killing_worker(tmp_path / "cut/finetune", 3) as killed:
        disturbed = run_finetune(tmp_path / "cut", data, tiny_weights, (1, 2))
    assert killed
    assert [record.epoch for record in disturbed.epochs] == [0, 1, 2]
    losses = [run.epochs[-1].val_loss for run in (undisturbed, disturbed)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_the_same_command_resumes_the_same_mlflow_run(tmp_path: Path, tiny_weights: Path) -> None:
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(4 * NUM_FACES)])
    results = [run_command(tmp_path / name, data, tiny_weights) for name in ("whole", "cut")]
    assert results[0] == results[1]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'cut/mlflow.db'}")
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    validated = {p.step: p.value for p in client.get_metric_history(run.info.run_id, "val_loss")}
    assert sorted(validated) == [0, 1, 2]


def run_command(folder: Path, data: str, weights: Path) -> bytes:
    """Returns the weights of `rayboot finetune`, which is killed once in the folder ``cut``."""
    folder.mkdir()
    config = {
        "data": data, "model": str(weights), "storage": str(folder / "runs"),
        "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "checkpoint_steps": 2,
        "cpus_per_worker": 0.5,
        "optimizer": {"batch_size": 4, "num_epochs": 3, "precision": "float32"},
    }  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [
        *(sys.executable, "-m", "rayboot"), "finetune", "--config", str(folder / "config.yaml"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
        if folder.name == "cut":
            deadline = time.monotonic() + 200
            while len(list(folder.glob("runs/finetune/checkpoint_*"))) < 2:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not (folder / "runs/finetune.safetensors").exists()
            process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        assert process.wait(timeout=300) == 0, (folder / "log").read_text()[-3000:]
    return (folder / "runs/finetune.safetensors").read_bytes()
