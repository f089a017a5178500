"""MLflow of the local stack, with S3 and PostgreSQL but without Ray."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.stack.database import Database
from infra.stack.layout import StackLayout, create_layout
from infra.stack.object_store import ObjectStore
from infra.stack.stack import Stack, StackSettings
from infra.stack.tracking import Login, Tracking
from rayboot.registry.runs import make_client, open_run

pytestmark = pytest.mark.s3


@contextmanager
def running(layout: StackLayout) -> Iterator[tuple[Tracking, Login]]:
    """Runs the services; yields the server and the login of this start."""
    store, database, login = ObjectStore(layout), Database(layout), Login(layout)
    tracking = Tracking(layout, database, store, login)
    services = [store, database, tracking]
    try:
        for service in services:
            service.start()
            service.wait()
        yield tracking, login
    finally:
        for service in reversed(services):
            service.stop()


def status(url: str, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return create_layout(tmp_path / "s", first_port=24200)


def test_every_start_has_a_new_login_and_runs_survive(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords: list[str] = []
    for number in (1, 2):
        with running(layout) as (tracking, login):
            search = f"{tracking.uri}/api/2.0/mlflow/experiments/search?max_results=1"
            assert status(search) == 401
            assert status(search, host="mlflow.example") == 403
            if passwords:
                monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", passwords[0])
                with pytest.raises(Exception, match="not authenticated"):
                    make_client(tracking.uri).search_experiments()
            for name, value in login.variables.items():
                monkeypatch.setenv(name, value)
            run = open_run(tracking.uri, "stack", f"run {number}")
            run.log_bytes("note.txt", b"stored in the bucket")
            experiment = make_client(tracking.uri).get_experiment_by_name("stack")
            runs = make_client(tracking.uri).search_runs([experiment.experiment_id])
            assert len(runs) == number
        passwords.append(login.variables["MLFLOW_TRACKING_PASSWORD"])
        (file,) = login.secret_files.values()
        assert file.read_text() == passwords[-1]
        assert file.stat().st_mode & 0o777 == 0o600
        assert passwords[-1] not in tracking.log.read_text()
    assert passwords[0] != passwords[1]


def test_nodes_and_shells_receive_the_login(layout: StackLayout, tmp_path: Path) -> None:
    stack = Stack(layout, tmp_path, StackSettings(layout.folder, with_prometheus=False))
    password = stack.login.variables["MLFLOW_TRACKING_PASSWORD"]
    for node in (stack.head, *stack.workers):
        assert node.environment()["MLFLOW_TRACKING_PASSWORD"] == password
        assert node.environment()["MLFLOW_TRACKING_USERNAME"] == "rayboot"
    (tmp_path / "ray-head").mkdir()
    (tmp_path / "ray-head/ray_current_cluster").write_text("127.0.0.1:1")
    exports = stack.exports()
    assert exports["MLFLOW_TRACKING_PASSWORD"].endswith('/secrets/mlflow-password)"')
    assert password not in " ".join(exports.values())
