"""What runs leave behind is searched for the secrets that they used.

The storage asks for signatures, MLflow for a login, Ray for a token; commands run as a user runs
them, in processes of their own.
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

pytestmark = [pytest.mark.s3, pytest.mark.egl]

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "secrets"
USER, PASSWORD = "somebody", "pass/of mlflow"
TOKEN = "token-of-ray-0123456789abcdef0123456789abcdef"


class World(NamedTuple):
    """Where runs happen, and what they leave."""

    folder: Path
    """Of the commands: configs, outputs, output of the commands, home."""
    ray: Path
    """Ray's sessions."""
    s3: S3Server
    server: MlflowServer
    proxy: LoginProxy
    environment: dict[str, str]

    def run(self, name: str, *arguments: str) -> str:
        """Runs a command; its stdout. What it says is kept beside its results."""
        code = "from rayboot.cli import main; main(prog_name='rayboot')"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
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
        """In every form that they are sent or written in."""
        plain = {"key": self.s3.secret_key, "password": PASSWORD, "token": TOKEN}
        forms = {name: value.encode() for name, value in plain.items()}
        forms |= {f"quoted {name}": quote(v, safe="").encode() for name, v in plain.items()}
        return {**forms, "login": self.proxy.header.partition(" ")[2].encode()}

    def left(self) -> Iterator[tuple[str, bytes]]:
        """All files and objects, unpacked where they are packed."""
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
    """With the values of a Parquet file, and the members of an archive, as they are."""
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
    # Sockets of Ray need a short path.
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
    """All that is left, none of it with a secret in it."""
    left = dict(world.left())
    told = [(name, place) for place, payload in left.items() for name, secret in
            world.secrets().items() if secret in payload]  # fmt: skip
    assert not told
    return left


def holders(left: dict[str, bytes], words: str) -> list[str]:
    return [place for place, payload in left.items() if words.encode() in payload]


def test_nothing_that_is_left_has_a_secret_in_it(world: World, pairs: str, weights: str) -> None:
    world.run("bundle", "support-bundle", "--run", pairs, "--config", "f.yaml", "--out", "b.tar.gz")
    left = require_clean(world)
    # What was searched is what there is: places that a secret might have come to.
    assert world.proxy.num_let_through > 10
    places = holders(left, world.s3.endpoint_url)
    assert any(place.endswith("b.tar.gz") for place in places)
    face = holders(left, "truncated.jpg")
    assert any(place.startswith(f"s3://{BUCKET}/pairs/outcome=reject") for place in face)
    assert any(place.endswith("b.tar.gz") for place in face)
    assert any(place.startswith("run ") for place in holders(left, "builtin:compact"))
    assert any(str(world.ray) in place for place in holders(left, "stage read is ready"))
    assert any(place.startswith(f"s3://{MlflowServer.bucket}/") for place in left)
    assert f"{weights.removeprefix('s3://')}" in {place.removeprefix("s3://") for place in left}


def test_a_run_is_followed_by_its_id(world: World, pairs: str, weights: str) -> None:
    manifest = json.loads(world.s3.filesystem().cat_file(f"{pairs}/manifest.json"))
    told = log_lines((world.folder / "generate.err").read_text())
    assert {line["run"] for line in told if line["logger"].startswith("rayboot.pipeline")} == {
        manifest["run_id"]
    }
    kept = json.loads(world.s3.filesystem().cat_file(f"{BUCKET}/training/finetune.run.json"))
    trained = log_lines((world.folder / "finetune.err").read_text())
    assert kept["run_id"] in {line["run"] for line in trained}
    workers = [p.read_text() for p in world.ray.rglob("worker-*.err") if not p.is_symlink()]
    of_generate = [line for text in workers for line in log_lines(text)
                   if line["run"] == manifest["run_id"]]  # fmt: skip
    assert {"read", "reconstruct", "turn"} <= {line.get("stage") for line in of_generate}


def test_a_login_in_the_uri_stops_a_run_before_it_begins(world: World, pairs: str) -> None:
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
def test_a_round_leaves_no_secret(world: World, synthetic_set: str) -> None:
    config = {
        "photos": f"s3://{BUCKET}/photos",
        "output": "round",
        "tracking_uri": world.proxy.uri,
        "evaluation": {
            "datasets": {"made": {"kind": "synthetic", "data": synthetic_set}}, "num_actors": 1,
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
    left = require_clean(world)
    state = json.loads((world.folder / "round/round.json").read_text())
    places = holders(left, state["run_id"])
    for end in ("round.err", "round.json", "report.html", "r.tgz", "pairs/manifest.json"):
        assert any(place.endswith(end) for place in places), end
    lines = log_lines((world.folder / "round.err").read_text())
    assert {line["run"] for line in lines if line["message"].startswith("evaluate:")} == {
        state["run_id"]
    }
    assert any(place.startswith("version ") for place in left)
