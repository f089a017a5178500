"""All outputs of runs are searched for the secrets that the runs used.

The storage requires signatures, MLflow a login, Ray a token; commands run as a user runs them,
in processes of their own.
"""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.login_proxy import LoginProxy
from tests.mlflow_server import MlflowServer
from tests.pipeline.photos import mixed_folder
from tests.s3 import S3Server

pytestmark = [pytest.mark.s3, pytest.mark.egl, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "secrets"
USER, PASSWORD = "somebody", "pass/of mlflow"
TOKEN = "token-of-ray-0123456789abcdef0123456789abcdef"


class World(NamedTuple):
    """The services and folders of the runs, and access to all their outputs."""

    folder: Path
    """Working folder of the commands: configs, outputs, their stdout and stderr; also HOME."""
    ray: Path
    """Folder of Ray's sessions."""
    s3: S3Server
    server: MlflowServer
    proxy: LoginProxy
    environment: dict[str, str]

    def run(self, name: str, *arguments: str) -> str:
        """Runs a command and returns its stdout; both streams are stored in ``folder``."""
        done = subprocess.run(
            [sys.executable, "-m", "rayboot", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        (self.folder / f"{name}.out").write_text(done.stdout)
        (self.folder / f"{name}.err").write_text(done.stderr)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def config(self, name: str, values: dict[str, Any]) -> str:
        (self.folder / name).write_text(yaml.safe_dump(values))
        return name

    def secrets(self) -> dict[str, bytes]:
        """Returns the secrets in every encoding in which they are sent or written."""
        plain = {"key": self.s3.secret_key, "password": PASSWORD, "token": TOKEN}
        forms = {name: value.encode() for name, value in plain.items()}
        forms |= {f"quoted {name}": quote(v, safe="").encode() for name, v in plain.items()}
        return {**forms, "login": self.proxy.header.partition(" ")[2].encode()}

    def outputs(self) -> Iterator[tuple[str, bytes]]:
        """Yields all files, objects, runs and versions with their content, uncompressed."""
        server = self.folder.parent / "server"
        for folder in (self.folder, self.ray, server):
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    yield str(path), unpacked(path.name, path.read_bytes())
        filesystem = self.s3.filesystem()
        for bucket in (BUCKET, MlflowServer.bucket):
            for path in filesystem.find(bucket):
                yield f"s3://{path}", unpacked(path, filesystem.cat_file(path))
        client = mlflow.MlflowClient(self.server.uri)
        for run in client.search_runs([e.experiment_id for e in client.search_experiments()]):
            yield f"run {run.info.run_id}", json.dumps(run.to_dictionary()).encode()
        for version in client.search_model_versions():
            yield f"version {version.version}", repr(dict(version)).encode()


def unpacked(name: str, payload: bytes) -> bytes:
    """Returns the payload with Parquet values and members of an archive uncompressed."""
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(payload))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return payload + sink.getvalue().to_pybytes()
    return gzip.decompress(payload) if name.endswith((".gz", ".tgz")) else payload


@pytest.fixture(scope="module")
def world(
    s3_server: S3Server, synthetic_set: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    parent = tmp_path_factory.mktemp("secrets")
    for name in ("server", "run", "private"):
        (parent / name).mkdir()
    folder = parent / "run"
    token = parent / "private/ray-token"
    token.write_text(TOKEN)
    photos = mixed_folder(parent / "photos", synthetic_set, num_good=24)
    filesystem = s3_server.filesystem()
    filesystem.call_s3("create_bucket", Bucket=BUCKET)
    filesystem.put(str(photos), f"{BUCKET}/photos", recursive=True)
    server = MlflowServer(parent / "server", s3_server)
    server.start()
    # The paths of Ray's sockets must be short.
    ray_folder = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
    with LoginProxy(server.uri, USER, PASSWORD) as proxy:
        environment = {
            **os.environ,
            **s3_server.environment,
            "HOME": str(folder),
            "MLFLOW_TRACKING_URI": proxy.uri,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            "PYTHONPATH": str(ROOT),
            "RAYBOOT_LOG_FORMAT": "json",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": str(ray_folder),
        }
        yield World(folder, ray_folder, s3_server, server, proxy, environment)
    server.clean_up()
    shutil.rmtree(ray_folder)


@pytest.fixture(scope="module")
def pairs(world: World) -> str:
    config = {
        "input": f"s3://{BUCKET}/photos",
        "output": f"s3://{BUCKET}/pairs",
        "selection": {"detect_faces": False},
        "views": {"preset": "small"},
        "pools": {"batch_size": 4},
    }
    return world.run("generate", "generate", "--config", world.config("g.yaml", config)).strip()


@pytest.fixture(scope="module")
def weights(world: World, pairs: str) -> str:
    config = {
        "data": pairs,
        "model": "builtin:compact",
        "storage": f"s3://{BUCKET}/training",
        "tracking_uri": world.proxy.uri,
        "experiment": "secrets",
        "max_failures": 0,
        "optimizer": {"batch_size": 4, "num_epochs": 1},
    }
    return world.run("finetune", "finetune", "--config", world.config("f.yaml", config)).strip()


def log_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def require_clean(world: World) -> dict[str, bytes]:
    """Checks that no output contains a secret; returns the content by place."""
    outputs = dict(world.outputs())
    leaks = [
        (name, place)
        for place, payload in outputs.items()
        for name, secret in world.secrets().items()
        if secret in payload
    ]
    assert not leaks
    return outputs


def places_with(outputs: dict[str, bytes], words: str) -> list[str]:
    return [place for place, payload in outputs.items() if words.encode() in payload]


def test_no_output_contains_a_secret(world: World, pairs: str, weights: str) -> None:
    world.run("bundle", "support-bundle", "--run", pairs, "--config", "f.yaml", "--out", "b.tar.gz")
    outputs = require_clean(world)
    # The search covered the places that a secret could have reached.
    assert world.proxy.num_let_through > 10
    places = places_with(outputs, world.s3.endpoint_url)
    assert any(place.endswith("b.tar.gz") for place in places)
    reject = places_with(outputs, "truncated.jpg")
    assert any(place.startswith(f"s3://{BUCKET}/pairs/outcome=reject") for place in reject)
    assert any(place.endswith("b.tar.gz") for place in reject)
    assert any(place.startswith("run ") for place in places_with(outputs, "builtin:compact"))
    assert any(str(world.ray) in place for place in places_with(outputs, "stage read is ready"))
    assert any(place.startswith(f"s3://{MlflowServer.bucket}/") for place in outputs)
    assert f"{weights.removeprefix('s3://')}" in {place.removeprefix("s3://") for place in outputs}


def test_log_lines_contain_the_id_of_their_run(world: World, pairs: str, weights: str) -> None:
    manifest = json.loads(world.s3.filesystem().cat_file(f"{pairs}/manifest.json"))
    lines = log_lines((world.folder / "generate.err").read_text())
    assert {line["run"] for line in lines if line["logger"].startswith("rayboot.pipeline")} == {
        manifest["run_id"]
    }
    run_file = json.loads(world.s3.filesystem().cat_file(f"{BUCKET}/training/finetune.run.json"))
    finetune_lines = log_lines((world.folder / "finetune.err").read_text())
    assert run_file["run_id"] in {line["run"] for line in finetune_lines}
    workers = [p.read_text() for p in world.ray.rglob("worker-*.err") if not p.is_symlink()]
    worker_lines = [
        line for text in workers for line in log_lines(text) if line["run"] == manifest["run_id"]
    ]
    assert {"read", "reconstruct", "turn"} <= {line.get("stage") for line in worker_lines}


def test_a_login_in_the_tracking_uri_is_refused(world: World, pairs: str) -> None:
    uri = world.proxy.uri.replace("://", f"://{USER}:{quote(PASSWORD, safe='')}@")
    with pytest.raises(AssertionError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        world._replace(environment={**world.environment, "MLFLOW_TRACKING_URI": uri}).run(
            "login", "finetune", "--config",
            world.config("l.yaml", {"data": pairs, "model": "builtin:compact", "storage": "login"}),
        )  # fmt: skip
    assert quote(PASSWORD, safe="") not in str(refused.value)
    assert not (world.folder / "login").exists()
    require_clean(world)


@pytest.mark.slow
def test_no_output_of_a_round_contains_a_secret(world: World, synthetic_set: str) -> None:
    config = {
        "photos": f"s3://{BUCKET}/photos",
        "output": "round",
        "tracking_uri": world.proxy.uri,
        "evaluation": {
            "datasets": {"synthetic": {"kind": "synthetic", "data": synthetic_set}},
            "num_actors": 1,
        },
        "generate": {
            "selection": {"detect_faces": False}, "views": {"preset": "small"},
            "pools": {"batch_size": 4},
        },
        "finetune": {"optimizer": {"batch_size": 4, "num_epochs": 1}},
        "gate": {"min_profile_gain": -0.9, "max_front_loss": 9.0},
    }  # fmt: skip
    world.run("round", "round", "--config", world.config("r.yaml", config))
    world.run(
        "r-bundle", "support-bundle", "--run", "round", "--config", "r.yaml", "--out", "r.tgz"
    )
    outputs = require_clean(world)
    state = json.loads((world.folder / "round/round.json").read_text())
    places = places_with(outputs, state["run_id"])
    for end in ("round.err", "round.json", "report.html", "r.tgz", "pairs/manifest.json"):
        assert any(place.endswith(end) for place in places), end
    lines = log_lines((world.folder / "round.err").read_text())
    assert {line["run"] for line in lines if line["message"].startswith("evaluate:")} == {
        state["run_id"]
    }
    assert any(place.startswith("version ") for place in outputs)
