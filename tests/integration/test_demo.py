"""The demo with few faces and one epoch; every part is real."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import rayboot
from benchmarks.drift import copy_with_changed_shapes, first_face
from rayboot.cli import main
from rayboot.data.images import decode_photo
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.demo import DemoConfig, demo_config, run_demo
from rayboot.rounds.drift import DriftConfig, detect_drift, measure_drift
from rayboot.rounds.gate import GateConfig
from rayboot.rounds.round import RoundResult
from rayboot.train.finetune import finetune
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from tests.s3 import free_ports

pytestmark = pytest.mark.egl


def small_config() -> DemoConfig:
    config = demo_config()
    optimizer = config.finetune.optimizer.replace(num_epochs=1, batch_size=8)
    return config.replace(
        photos=config.photos.replace(num_identities=24),
        test_photos=config.test_photos.replace(num_identities=16),
        gate=GateConfig(min_profile_gain=-0.9, max_front_loss=9.0),
        # One epoch of a few photos is no sound training.
        drift=DriftConfig(max_mirror_loss=0.2),
        finetune=config.finetune.replace(optimizer=optimizer),
        generate=config.generate.replace(pools=config.generate.pools.replace(num_render_actors=1)),
        evaluation={"num_actors": 1},
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(out: Path, ray_local: object) -> RoundResult:
    return run_demo(out, small_config())


def test_a_round_writes_all_its_outputs(result: RoundResult, out: Path) -> None:
    assert result.summary.num_faces > 12
    assert result.summary.num_views > 3 * result.summary.num_faces
    assert (out / "round/candidate.safetensors").stat().st_size < 5_000_000
    assert (out / "round/pairs/manifest.json").exists()
    assert pq.read_table(out / "round/evaluation/results.parquet").num_rows == 2 * 16
    page = result.report.read_text("utf-8")
    # The page contains the contact sheet, five plots, panels, and a thumbnail of each face.
    assert page.count("data:image/") >= 7 + 16
    steps = {"generate", "finetune", "evaluate", "drift", "register", "report"}
    assert steps <= set(result.seconds)
    shapes = json.loads((out / "round/drift.json").read_text())
    photos, views = shapes["first teacher"]["photos"], shapes["bootstrapped"]["views"]
    # Views that are rotated back vary from face to face like photos.
    assert 0 < photos["spread"] < 1.5 * views["spread"] < 3 * photos["spread"]
    assert 0.7 < views["mirror"] < 1


def test_the_candidate_is_registered(result: RoundResult, out: Path) -> None:
    assert result.version == "1"
    with sqlite3.connect(out / "round/mlflow.db") as store:
        aliases = store.execute("select alias, version from registered_model_aliases").fetchall()
        metrics = {row[0] for row in store.execute("select distinct key from metrics")}
    assert aliases == ([("champion", 1)] if result.promoted else [])
    assert {"val_loss", "faces", "views"} <= metrics


def test_a_repeated_call_returns_the_stored_result(result: RoundResult, out: Path) -> None:
    again = run_demo(out, small_config())
    assert again.version == result.version
    assert again.rows == result.rows
    assert again.seconds.keys() == result.seconds.keys()


@pytest.mark.slow
def test_drift_is_detected_in_a_collapsed_network_only(
    result: RoundResult, out: Path, tmp_path: Path
) -> None:
    pairs = out / "round/pairs"
    copy_with_changed_shapes(pairs, tmp_path / "one-face", first_face)
    optimizer = OptimizerConfig(batch_size=8, num_epochs=3, learning_rate=5e-4)
    config = FinetuneConfig(
        data=str(tmp_path / "one-face"),
        model="builtin:compact",
        storage=str(tmp_path),
        source_fraction=0.25,
        optimizer=optimizer,
    )
    (tmp_path / "collapsed.safetensors").write_bytes(finetune(config).weights)
    weights = {
        "first": resolve_model("builtin:compact").path,
        "healthy": out / "round/candidate.safetensors",
        "collapsed": tmp_path / "collapsed.safetensors",
    }
    shapes = measure_drift(weights, str(pairs), DriftConfig())
    assert detect_drift(shapes["first"].photos, shapes["healthy"], DriftConfig()) == ""
    drift = detect_drift(shapes["first"].photos, shapes["collapsed"], DriftConfig())
    assert "faces become alike" in drift, shapes


def test_state_and_provenance_are_printed(result: RoundResult, out: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": result.tracking_uri}

    def run_command(*command: str) -> str:
        done = CliRunner().invoke(main, command, env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "models:/rayboot-vrn/1  champion" in run_command("status", str(out))
    provenance = run_command("trace", "models:/rayboot-vrn@champion")
    assert f"data set    {out / 'round/pairs'}" in provenance
    assert f"{result.summary.num_faces} faces" in provenance
    index = pq.read_table(out / "round/pairs/outcome=face", columns=["face_id"])
    trace = run_command("trace", index["face_id"][0].as_py())
    assert "trained   models:/rayboot-vrn/1, champion" in trace


def test_a_registered_version_needs_neither_ray_nor_opengl(
    result: RoundResult, out: Path, tmp_path: Path
) -> None:
    consumer = Path(__file__).with_name("consumer.py")
    done = subprocess.run(
        [sys.executable, str(consumer), result.tracking_uri],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    # The registered code is imported, not that of the checkout.
    assert not Path(report["code"]).is_relative_to(Path(rayboot.__file__).parent)
    assert report["volumes"][:2] == [[2, 112, 96, 96], "float32"]
    assert report["volumes"][2] > 0.5
    assert report["meshes"] == ["glTF", "glTF"]
    assert report["not_required"] == [], "add them to registry.registration.requirements"


@pytest.mark.slow
def test_a_served_version_returns_a_mesh(result: RoundResult, out: Path) -> None:
    (port,) = free_ports(1)
    commands = Path(sys.executable).parent
    command = [
        str(commands / "mlflow"), "models", "serve", "--env-manager", "local",
        "-m", "models:/rayboot-vrn@champion", "-p", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": result.tracking_uri,
        "PATH": f"{commands}:{os.environ['PATH']}",
    }
    server = subprocess.Popen(
        command,
        env=environment,
        cwd=out,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    photo = decode_photo(next((out / "test-photos").rglob("*.jpg")).read_bytes())
    body = {"inputs": [cv2.resize(photo, (96, 96)).tolist()], "params": {"output": "glb"}}
    try:
        response = _post(f"http://127.0.0.1:{port}", json.dumps(body))
        refusal = _post(
            f"http://127.0.0.1:{port}", json.dumps({**body, "params": {"output": "obj"}})
        )
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    (mesh,) = response["predictions"]
    assert base64.b64decode(mesh)[:4] == b"glTF"
    assert "output must be one of" in refusal["message"]


def _post(address: str, body: str) -> dict[str, Any]:
    """Returns the server's response, as soon as it accepts connections."""
    request = urllib.request.Request(
        f"{address}/invocations", body.encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return dict(json.loads(response.read()))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


@pytest.mark.slow
def test_reconstruct_takes_a_registered_version(
    result: RoundResult, out: Path, tmp_path: Path
) -> None:
    environment = {"MLFLOW_TRACKING_URI": result.tracking_uri}
    command = [
        "reconstruct", "--model", "models:/rayboot-vrn/1",
        "--input", str(out / "test-photos"), "--output", str(tmp_path / "meshes"),
    ]  # fmt: skip
    done = CliRunner().invoke(main, command, env=environment)
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.rglob("*.glb"))) == len(list(tmp_path.rglob("*.ply"))) >= 14
