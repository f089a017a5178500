import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rayboot.registry.run_links import describe_run_link
from rayboot.registry.runs import open_run, resume_run


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("http://mlflow:5000/", "http://mlflow:5000/#/experiments/2/runs/ab"),
        (
            "sqlite:////runs/a b/mlflow.db",
            "http://127.0.0.1:5000/#/experiments/2/runs/ab during "
            "`mlflow ui --backend-store-uri 'sqlite:////runs/a b/mlflow.db'`",
        ),
        ("databricks", "run ab of experiment 2 in databricks"),
        (
            "postgresql://me:secret@db/mlflow",
            "run ab of experiment 2 in postgresql://***@db/mlflow",
        ),
    ],
)
def test_a_link_leads_to_the_run(uri: str, link: str) -> None:
    assert describe_run_link(uri, "2", "ab") == link


def test_a_run_logs_its_link_when_it_starts_and_when_it_resumes(
    create_mlflow_store: Callable[[Path], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rayboot")
    uri = create_mlflow_store(tmp_path)
    run = open_run(uri, "faces", "one")
    (first,) = re.findall(r"MLflow: (\S+/runs/\S+) during", caplog.text)
    assert first.endswith(f"/runs/{run.run_id}") and str(tmp_path) in caplog.text
    caplog.clear()
    resume_run(uri, run.run_id)
    assert f"MLflow: {first} during" in caplog.text
