from pathlib import Path

from rayboot.registry.run_description import describe_run
from rayboot.registry.runs import open_run
from rayboot.registry.system_metrics import system_metrics_logger


def test_even_a_short_run_has_system_metrics(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = open_run(uri, "tests", "short")
    with run.closing(), system_metrics_logger(run, "worker-0"):
        pass
    metrics = describe_run(uri, run.run_id)["metrics"]
    assert 0 <= metrics["system/worker-0/cpu_utilization_percentage"] <= 100


def test_without_a_run_nothing_is_logged() -> None:
    with system_metrics_logger(None, "worker-0"):
        pass
