"""A whole small round, submitted as a job to the local stack; takes minutes."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from infra.stack.leftovers import find_leftovers
from infra.stack.object_store import MLFLOW_BUCKET, PHOTO_BUCKET
from tests.infra.dashboard import panels, queries
from tests.stack.conftest import ROOT, StackCommand

pytestmark = pytest.mark.stack

ENTRYPOINT = "python jobs/round.py --config round.yaml"
JOB_TIMEOUT_S = 480.0
MODEL = "rayboot-vrn"
GPU_PANELS = {"GPU"}
"""Titles of panels that are empty on a machine without a GPU."""


def get_json(url: str, headers: Mapping[str, str] | None = None, **parameters: str | float) -> Any:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    request = urllib.request.Request(f"{url}{query}", headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def mlflow_login(environment: dict[str, str]) -> dict[str, str]:
    """Returns the HTTP header with the login of MLflow's server."""
    user, password = (environment[f"MLFLOW_TRACKING_{part}"] for part in ("USERNAME", "PASSWORD"))
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def synthesize(environment: dict[str, str], folder: Path, name: str, **config: Any) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config))
    uri = f"s3://{PHOTO_BUCKET}/{name}"
    command = [sys.executable, "-m", "rayboot", "synthesize"]
    command += ["--config", str(file), "--output", uri]
    # Without the cluster's variables, so that it runs on this machine.
    local = {k: v for k, v in environment.items() if not k.startswith("RAY_")}
    done = subprocess.run(command, env=local, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return uri


def round_config(photos: str, faces: str, output: Path, tracking_uri: str) -> dict[str, Any]:
    # Metrics end with their worker, so it must live for several scrapes by Prometheus.
    optimizer = {"batch_size": 16, "num_epochs": 4, "learning_rate": 1.0e-4}
    return {
        "photos": photos,
        "evaluation": {
            "datasets": {"synthetic": {"kind": "synthetic", "data": faces}},
            "num_actors": 1,
        },
        "output": str(output),
        "storage": f"s3://{PHOTO_BUCKET}/round",
        "generate": {"views": {"preset": "small"}, "pools": {"batch_size": 4}},
        "finetune": {"optimizer": optimizer},
        "drift": {"num_photos": 8},
        "tracking_uri": tracking_uri,
        "experiment": "stack",
        "registered_model": MODEL,
    }


@pytest.fixture(scope="module")
def started_at(stack: StackCommand) -> float:
    return time.time()


@pytest.fixture(scope="module")
def job(
    stack: StackCommand,
    environment: dict[str, str],
    started_at: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The log of the job, after it succeeded."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    folder = tmp_path_factory.mktemp("job")
    yaw = {"kind": "uniform", "max_deg": 15}
    photos = synthesize(environment, folder, "photos", num_identities=32, yaw=yaw, seed=1)
    faces = synthesize(environment, folder, "faces", num_identities=12, first_identity=500, seed=2)
    bucket(environment).put_object(Bucket=PHOTO_BUCKET, Key="photos/broken.jpg", Body=b"no photo")
    work = folder / "work"
    work.mkdir()
    config = round_config(photos, faces, folder / "round", environment["MLFLOW_TRACKING_URI"])
    (work / "round.yaml").write_text(yaml.safe_dump(config))
    (work / "jobs").mkdir()
    shutil.copy(ROOT / "jobs/round.py", work / "jobs")
    client = JobSubmissionClient(environment["RAY_API_SERVER_ADDRESS"])
    # No credentials are sent: the nodes have those of S3 and MLflow.
    name = client.submit_job(entrypoint=ENTRYPOINT, runtime_env={"working_dir": str(work)})
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while not (status := client.get_job_status(name)).is_terminal():
        if time.monotonic() > deadline:
            client.stop_job(name)
            pytest.fail(f"{status} after {JOB_TIMEOUT_S} s:\n{client.get_job_logs(name)[-4000:]}")
        time.sleep(2)
    log = client.get_job_logs(name)
    assert status == JobStatus.SUCCEEDED, log[-6000:]
    return str(log)


@pytest.fixture(autouse=True, scope="module")
def ray_token(environment: dict[str, str]) -> Iterator[None]:
    """Gives the cluster's token to Ray clients in this process."""
    before = dict(os.environ)
    os.environ.update({k: v for k, v in environment.items() if k.startswith("RAY_AUTH")})
    yield
    os.environ.clear()
    os.environ.update(before)


def bucket(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def object_names(environment: dict[str, str], name: str) -> list[str]:
    pages = bucket(environment).get_paginator("list_objects_v2").paginate(Bucket=name)
    return [entry["Key"] for page in pages for entry in page["Contents"]]


def test_secrets_are_readable_by_the_user_only(
    stack: StackCommand, environment: dict[str, str]
) -> None:
    folder = stack.folder / "secrets"
    for private in (folder, stack.folder / "logs"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    printed = stack.output()
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    for file in folder.iterdir():
        assert file.read_text() not in printed
        assert file.read_text() not in commands


def test_requests_without_credentials_are_refused(
    stack: StackCommand, environment: dict[str, str]
) -> None:
    experiments = f"{stack.address('MLflow')}/api/2.0/mlflow/experiments/search?max_results=1"
    jobs, bucket = f"{stack.address('Ray')}/api/jobs/", f"{stack.address('S3')}/{MLFLOW_BUCKET}"
    for url in (jobs, bucket, experiments):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get_json(url)
        assert refused.value.code in (401, 403)
    login = mlflow_login(environment)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get_json(experiments, {**login, "Host": "mlflow.example"})
    assert get_json(experiments, login)["experiments"]


def test_a_second_stack_in_the_same_folder_is_refused(stack: StackCommand) -> None:
    second = subprocess.run(stack.command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"runs in {stack.folder} already, process {stack.process.pid}" in second.stderr
    assert stack.process.poll() is None


def test_a_round_is_stored_in_the_registry_and_in_the_bucket(
    stack: StackCommand, environment: dict[str, str], job: str
) -> None:
    registry = f"{environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
    login = mlflow_login(environment)
    versions = get_json(f"{registry}/model-versions/search", login, filter=f"name='{MODEL}'")
    (version,) = versions["model_versions"]
    run = get_json(f"{registry}/runs/get", login, run_id=version["run_id"])["run"]
    assert run["info"]["status"] == "FINISHED"
    metrics = {metric["key"] for metric in run["data"]["metrics"]}
    assert {"loss", "faces", "rejects"} <= metrics
    names = object_names(environment, MLFLOW_BUCKET)
    for end in ("report.html", ".safetensors", "curves.png"):
        assert any(name.endswith(end) for name in names), (end, names)
    stored = object_names(environment, PHOTO_BUCKET)
    assert "round/pairs/manifest.json" in stored
    assert any(re.fullmatch(r"round/training/finetune/.*/state\.pt", name) for name in stored), (
        stored
    )


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_dashboard_panel_has_data(
    stack: StackCommand, job: str, started_at: float, panel: dict[str, Any]
) -> None:
    for query in queries(panel):
        response = get_json(
            f"{stack.address('Prometheus')}/api/v1/query_range",
            query=query,
            start=started_at,
            end=time.time(),
            step=5,
        )
        assert response["status"] == "success"
        if panel["title"] not in GPU_PANELS or shutil.which("nvidia-smi"):
            assert response["data"]["result"], f"no series for {query}"


def test_no_process_remains(stack: StackCommand, job: str) -> None:
    assert len(find_leftovers(stack.folder)) > 10
    assert stack.interrupt() in (0, 130)
    assert find_leftovers(stack.folder) == []
    with pytest.raises(urllib.error.URLError):
        get_json(f"{stack.address('Prometheus')}/-/ready")
    logs = stack.folder / "logs"
    assert (logs / "ray/ray-head/gcs_server.out").exists()
    # An access key is public, and the S3 server's log may name a client by it.
    secret_files = [f for f in (stack.folder / "secrets").iterdir() if f.name != "s3-access-key"]
    keys = [file.read_bytes() for file in secret_files]
    leaking = [log for log in logs.rglob("*") if log.is_file() and contains_any(log, keys)]
    assert not leaking, "logs contain secrets"


def contains_any(file: Path, keys: list[bytes]) -> bool:
    content = file.read_bytes()
    return any(key in content for key in keys)
