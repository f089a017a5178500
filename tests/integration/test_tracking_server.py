"""Fine-tuning tracked by a real MLflow server on PostgreSQL and S3, with an outage."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch

import rayboot
from rayboot.models import VRN, VRNConfig, save_network
from rayboot.registry.promotion import champion_version, promote, roll_back
from rayboot.registry.registration import InputExamples, register_weights
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import open_run
from rayboot.train.finetune import finetune_tracked, prepare_finetune
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from tests.data.pair_sets import NUM_FACES, SHAPE, face, write_pairs
from tests.mlflow_server import MlflowServer
from tests.s3 import S3Server

pytestmark = pytest.mark.s3

TINY = VRNConfig.compact().replace(
    resolution=SHAPE[2], slices=SHAPE[0], channels=16, stem_channels=8, stem_bottleneck=4
)


@pytest.fixture(scope="module")
def server(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"), s3_server)
    server.start()
    yield server
    server.clean_up()


def request(tmp_path: Path, server: MlflowServer, num_epochs: int) -> FinetuneConfig:
    torch.manual_seed(0)
    save_network(VRN(TINY), tmp_path / "tiny.safetensors")
    data = write_pairs(tmp_path / "pairs", [face(index) for index in range(4 * NUM_FACES)])
    return FinetuneConfig(
        data=data,
        model=str(tmp_path / "tiny.safetensors"),
        storage=str(tmp_path / "runs"),
        tracking_uri=server.uri,
        experiment="server",
        cpus_per_worker=0.5,
        optimizer=OptimizerConfig(batch_size=4, num_epochs=num_epochs, precision="float32"),
    )


def interrupt_server(server: MlflowServer, storage: Path, outage: threading.Event) -> None:
    """Kills the server after an epoch, and starts it again after another one.

    Training that ends meanwhile waits for the server, so it is started after a minute anyway.
    """

    def checkpoints() -> set[Path]:
        return set(storage.glob("finetune/checkpoint_*"))

    while not (before := checkpoints()):
        time.sleep(0.05)
    server.kill()
    outage.set()
    deadline = time.monotonic() + 60
    while checkpoints() <= before and time.monotonic() < deadline:
        time.sleep(0.05)
    server.start()


@pytest.mark.slow
def test_metrics_survive_an_unavailable_server(
    ray_local: Any, server: MlflowServer, tmp_path: Path, s3_server: S3Server
) -> None:
    config = request(tmp_path, server, num_epochs=12)
    outage = threading.Event()
    arguments = (server, tmp_path / "runs", outage)
    # A daemon, which does not outlive a training that fails before its first checkpoint.
    interruption = threading.Thread(target=interrupt_server, args=arguments, daemon=True)
    interruption.start()
    finetune_tracked(prepare_finetune(config))
    interruption.join()
    assert outage.is_set()
    client = mlflow.MlflowClient(server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("server").experiment_id])
    assert run.info.status == "FINISHED"
    losses = client.get_metric_history(run.info.run_id, "loss")
    steps = sorted({point.step for point in losses})
    assert steps == list(range(1, steps[-1] + 1))
    assert [p.step for p in client.get_metric_history(run.info.run_id, "val_loss")] == list(
        range(12)
    )
    assert {"val_iou", "val_nme/0_to_30", "val_nme/30_to_60"} <= run.data.metrics.keys()
    assert any(name.startswith("system/worker-0/cpu") for name in run.data.metrics)
    assert run.data.tags["seed"] == "0"
    (dataset_input,) = run.inputs.dataset_inputs
    assert dataset_input.dataset.digest == run.data.tags["rayboot.manifest_digest"][:36]
    assert "curves.png" in [entry.path for entry in client.list_artifacts(run.info.run_id)]
    stored = s3_server.filesystem().find(MlflowServer.bucket)
    assert any(path.endswith("curves.png") for path in stored)


def test_versions_and_the_champion_through_a_server(server: MlflowServer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VRN(TINY).eval()
    save_network(network, tmp_path / "tiny.safetensors")
    crops = np.full((2, *SHAPE[1:], 3), 90, np.uint8)
    with torch.inference_mode():
        volumes = network(torch.from_numpy(crops.transpose(0, 3, 1, 2) / np.float32(255)))
    code = Path(rayboot.__file__).parent / "inference/mlflow_model.py"
    run = open_run(server.uri, "server", "versions")
    for _ in range(2):
        examples = InputExamples(crops, volumes.numpy())
        register_weights(run, "faces", tmp_path / "tiny.safetensors", code, examples, {})
    assert champion_version(server.uri, "faces") is None
    promote(server.uri, "faces", "1", None)
    promote(server.uri, "faces", "2", "1")
    assert roll_back(server.uri, "faces") == ("2", "1")
    fetched = resolve_model("models:/faces@champion", server.uri).path
    assert fetched.read_bytes() == (tmp_path / "tiny.safetensors").read_bytes()


@pytest.mark.slow
def test_checkpoints_and_weights_are_stored_in_a_bucket(
    s3_server: S3Server, server: MlflowServer, tmp_path: Path
) -> None:
    config = request(tmp_path, server, num_epochs=1)
    config = config.replace(storage=f"s3://{MlflowServer.bucket}/runs", name="in-a-bucket")
    (tmp_path / "config.yaml").write_text(config.model_dump_json())
    # In a process of its own: workers of a running Ray do not have the store's variables.
    done = subprocess.run(
        [sys.executable, "-m", "rayboot", "finetune", "--config", str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        env={**os.environ, **s3_server.environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    stored = s3_server.filesystem().find(f"{MlflowServer.bucket}/runs")
    assert f"{MlflowServer.bucket}/runs/in-a-bucket.safetensors" in stored
    assert any("in-a-bucket/checkpoint_" in path for path in stored)
    assert done.stdout.strip() == f"s3://{MlflowServer.bucket}/runs/in-a-bucket.safetensors"
    assert "waited" in done.stderr
