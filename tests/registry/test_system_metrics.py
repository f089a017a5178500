from pathlib import Path
from types import SimpleNamespace

import pytest

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


def test_the_load_of_a_gpu_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # NVIDIA's driver library is not here; its Python package, which MLflow calls, is.
    pynvml = pytest.importorskip("pynvml", reason="requires the extra gpu")
    answers = {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": "gpu 0",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=6e9, total=24e9),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87),
        "nvmlDeviceGetPowerUsage": 60_000,
        "nvmlDeviceGetEnforcedPowerLimit": 72_000,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = open_run(uri, "tests", "gpu")
    with run.closing(), system_metrics_logger(run, "worker-0"):
        pass
    metrics = describe_run(uri, run.run_id)["metrics"]
    assert metrics["system/worker-0/gpu_0_utilization_percentage"] == 87
    assert metrics["system/worker-0/gpu_0_memory_usage_percentage"] == 25
