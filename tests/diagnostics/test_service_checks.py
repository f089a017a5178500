import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayboot.diagnostics.ray_check import check_ray
from rayboot.diagnostics.service_checks import check_mlflow, check_storage
from tests.fake_dashboard import serve_dashboard

CLOSED = "127.0.0.1:9"
"""The discard port: nothing listens there."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    with serve_dashboard("2.60.0") as address:
        yield address


def test_a_local_ray_starts() -> None:
    check = check_ray(None)
    assert check.status == "ok", check
    assert "authentication" in check.detail


def test_a_cluster_that_does_not_answer() -> None:
    check = check_ray(f"http://{CLOSED}")
    assert check.status == "FAIL"
    assert "8265" in check.remedy


def test_a_dashboard_that_requires_no_token_is_noted(dashboard: str) -> None:
    check = check_ray(dashboard)
    assert check.status == "note"
    assert "no token" in check.detail


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        (None, "FAIL", "requires a token"),
        ("wrong", "FAIL", "refuses this token"),
        ("right", "ok", "accepts the token"),
    ],
)
def test_a_dashboard_that_requires_a_token(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    status: str,
    words: str,
) -> None:
    path = tmp_path / "token"
    path.write_text(f"{token or ''}\n")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with serve_dashboard("2.60.0", token="right") as dashboard:
        check = check_ray(dashboard)
    assert check.status == status
    assert words in check.detail
    assert ("RAY_AUTH_TOKEN_PATH" in check.remedy) == (status == "FAIL")


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)


@pytest.mark.usefixtures("s3_environment")
def test_storage_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{CLOSED}")
    check = check_storage("s3://bucket/photos")
    assert check.status == "FAIL"
    assert CLOSED in check.detail
    assert "AWS_ENDPOINT_URL" in check.remedy


@pytest.mark.s3
@pytest.mark.usefixtures("s3_environment")
def test_storage_by_bucket_and_key(s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    empty = check_storage("s3://ready/photos/not/yet")
    assert empty.status == "ok" and "is empty" in empty.detail
    written = check_storage("s3://ready/runs", written=True)
    assert written.status == "ok" and "written" in written.detail
    assert check_storage("s3://missing/runs", written=True).status == "FAIL"
    assert check_storage("s3://missing/photos").status == "FAIL"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert check_storage("s3://ready").status == "FAIL"


def test_mlflow_servers_are_checked(dashboard: str) -> None:
    assert check_mlflow(dashboard).status == "ok"
    assert check_mlflow(f"http://{CLOSED}").status == "FAIL"
    with serve_dashboard("2.60.0", token="right") as closed:
        assert "MLFLOW_TRACKING_TOKEN" in check_mlflow(closed).remedy


def test_sqlite_stores_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert check_mlflow(f"sqlite:///{path}") == (
        "MLflow",
        "ok",
        f"sqlite:///{path} will be created",
        "",
    )
    # A run creates its output, in which its store is by default.
    assert check_mlflow(f"sqlite:///{tmp_path}/runs/photos/mlflow.db").status == "ok"
    assert not (tmp_path / "runs").exists()
    path.write_text("this is no SQLite database" * 100)
    assert check_mlflow(f"sqlite:///{path}").status == "FAIL"
    assert check_mlflow(f"sqlite:///{path}/mlflow.db").status == "FAIL"


def test_a_locked_sqlite_store_fails(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE experiments (name TEXT)")
    assert check_mlflow(f"sqlite:///{path}").detail == f"sqlite:///{path} opens"
    holder.execute("BEGIN EXCLUSIVE")
    check = check_mlflow(f"sqlite:///{path}")
    holder.close()
    assert check.status == "FAIL"
    assert "locked" in check.detail


def test_a_folder_as_tracking_store_fails() -> None:
    assert check_mlflow("file:./mlruns").status == "FAIL"
    assert check_mlflow("mlruns").status == "FAIL"
