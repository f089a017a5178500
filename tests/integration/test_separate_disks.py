"""A whole round on a cluster whose workers cannot access the disk of the head.

The worker node runs in a mount namespace of its own, in which an empty file system hides the
folder that the driver writes to.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rayboot.cluster.resources import WAIT_VARIABLE
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.resolve import resolve_model
from rayboot.synthesis import SynthesisConfig
from tests.mlflow_server import MlflowServer
from tests.ray_head import Head, end_node, start_head
from tests.s3 import S3Server

pytestmark = [pytest.mark.egl, pytest.mark.s3, pytest.mark.slow]

ROUND = [sys.executable, "-m", "rayboot", "round", "--config"]


def can_mount() -> bool:
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
    return os.geteuid() == 0 and done.returncode == 0


@contextmanager
def worker_without(folder: Path, head: Head, log: Path) -> Iterator[None]:
    """Runs a worker node of 6 CPUs for which ``folder`` is empty."""
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    ray = f"{sys.executable} -m ray.scripts.scripts start --block --address={head.driver_address}"
    options = (
        f"--num-cpus=6 --temp-dir={temporary} --object-store-memory=300000000 "
        "--dashboard-agent-listen-port=0 --disable-usage-stats"
    )
    script = f"mount -t tmpfs none '{folder}' && exec {ray} {options}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            env=head.environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield
        finally:
            end_node(process)
            shutil.rmtree(temporary, ignore_errors=True)


def round_config(private: Path, tracking_uri: str) -> dict:
    weights = private / "weights.safetensors"
    shutil.copy(resolve_model("builtin:compact").path, weights)
    faces = {"kind": "synthetic", "data": "s3://disks/faces"}
    return {
        "photos": "s3://disks/photos",
        "model": str(weights),
        "evaluation": {"datasets": {"synthetic": faces}, "num_actors": 1},
        "output": str(private / "round"),
        "storage": "s3://disks/round",
        "tracking_uri": tracking_uri,
        "generate": {"views": {"preset": "small"}, "pools": {"batch_size": 4}},
        "finetune": {"optimizer": {"batch_size": 16, "num_epochs": 1}},
        "drift": {"num_photos": 8},
    }


@pytest.mark.skipif(not can_mount(), reason="needs root and the right to mount")
def test_a_round_needs_no_shared_disk(tmp_path: Path, s3_server: S3Server) -> None:
    private = tmp_path / "private"
    private.mkdir()
    server = MlflowServer(tmp_path, s3_server)
    server.start()
    store = s3_server.filesystem()
    store.call_s3("create_bucket", Bucket="disks")
    frontal_yaw = {"kind": "uniform", "max_deg": 15}
    datasets = {
        "photos": SynthesisConfig(num_identities=24, yaw=frontal_yaw, seed=3),
        "faces": SynthesisConfig(num_identities=8, first_identity=500, seed=4),
    }
    for name, config in datasets.items():
        synthesize(config, str(tmp_path / name), num_workers=1)
        store.put(str(tmp_path / name), f"disks/{name}", recursive=True)
    (private / "round.yaml").write_text(json.dumps(round_config(private, server.uri)))
    try:
        with (
            start_head(tmp_path, num_cpus=0, variables=s3_server.environment) as head,
            worker_without(private, head, tmp_path / "worker.log"),
        ):
            done = subprocess.run(
                [*ROUND, str(private / "round.yaml")],
                env=head.environment | {"RAY_ADDRESS": head.driver_address, WAIT_VARIABLE: "120"},
                capture_output=True,
                text=True,
                timeout=500,
            )
    finally:
        server.kill()
    assert done.returncode == 0, done.stderr[-4000:]
    assert (private / "round/report.html").exists()
    assert not (private / "round/pairs").exists() and not (private / "round/training").exists()
    assert store.exists("disks/round/pairs/manifest.json")
    assert store.glob("disks/round/training/finetune/**/state.pt")
