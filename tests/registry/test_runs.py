import json
from pathlib import Path

import mlflow
import pytest

from rayboot.errors import RequestError
from rayboot.registry.runs import (
    Run,
    absolute_tracking_uri,
    default_tracking_uri,
    open_run,
    resume_run,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    open_run(uri, "tests", "first", (folder / "files").as_uri())
    return uri, folder


def test_runs_keep_params_metrics_and_status(store: tuple[str, Path]) -> None:
    uri, folder = store
    run = open_run(uri, "tests", "another")
    run.log_params({"a": {"b": 1}, "c": "x"})
    run.log_metrics({"loss": 0.5}, step=3)
    (folder / "note.txt").write_text("here")
    run.log_file(folder / "note.txt")
    # Any process that has the id can write to the run.
    Run(uri, run.run_id).set_tags({"k": "v"})
    with pytest.raises(KeyboardInterrupt), run.closing():
        raise KeyboardInterrupt
    stored = mlflow.MlflowClient(uri).get_run(run.run_id)
    assert stored.data.params == {"a.b": "1", "c": "x"}
    assert stored.data.metrics == {"loss": 0.5}
    assert stored.data.tags["k"] == "v"
    assert stored.info.status == "FAILED"


def test_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert default_tracking_uri() == "http://somewhere:5000"


def test_an_interrupted_run_is_resumed(store: tuple[str, Path]) -> None:
    uri, _ = store
    run = open_run(uri, "tests", "stopped")
    run.log_params({"rate": 0.1})
    with pytest.raises(ValueError, match="x"), run.closing():
        raise ValueError("x")
    again = resume_run(uri, run.run_id)
    assert mlflow.MlflowClient(uri).get_run(run.run_id).info.status == "RUNNING"
    again.log_params({"rate": 0.2, "steps": 3})  # the first value stays
    with again.closing():
        pass
    stored = mlflow.MlflowClient(uri).get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"rate": "0.1", "steps": "3"}
    with pytest.raises(RequestError, match="does not contain it"):
        resume_run(uri, "0" * 32)


def test_data_sets_are_logged_as_inputs(store: tuple[str, Path]) -> None:
    uri, _ = store
    run = open_run(uri, "tests", "data")
    run.log_dataset("pairs", "s3://bucket/pairs", "ab" * 32, {"faces": 3})
    (dataset_input,) = mlflow.MlflowClient(uri).get_run(run.run_id).inputs.dataset_inputs
    assert (dataset_input.dataset.name, dataset_input.dataset.digest) == ("pairs", "ab" * 18)
    assert json.loads(dataset_input.dataset.source) == {"uri": "s3://bucket/pairs"}
    assert json.loads(dataset_input.dataset.profile) == {"faces": 3}


def test_bytes_are_stored_as_artifacts(store: tuple[str, Path]) -> None:
    uri, folder = store
    run = open_run(uri, "tests", "bytes")
    run.log_bytes("figures/a.txt", b"here")
    assert [path.read_bytes() for path in folder.rglob("figures/a.txt")] == [b"here"]


@pytest.mark.parametrize(
    "uri", ["http://mlflow:5000", "sqlite:////data/mlflow.db", "sqlite:///:memory:"]
)
def test_an_absolute_tracking_uri_stays(uri: str) -> None:
    assert absolute_tracking_uri(uri) == uri


def test_a_relative_sqlite_path_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        absolute_tracking_uri("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    )


@pytest.mark.parametrize("uri", ["http://me:hunter2@host:5000", "postgresql://:hunter2@db/mlflow"])
def test_a_login_in_the_uri_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def require_refused(*arguments: str) -> None:
        with pytest.raises(RequestError, match="MLFLOW_TRACKING_PASSWORD") as refused:
            open_run(*arguments)
        assert "hunter2" not in str(refused.value)

    require_refused(uri, "tests", "first")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    require_refused(None, "tests", "first")  # type: ignore[arg-type]
