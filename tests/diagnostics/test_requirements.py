from pathlib import Path

import pytest

from rayboot.diagnostics.doctor import RunRequirements, read_requirements
from rayboot.errors import RequestError


def read_text_requirements(
    tmp_path: Path, text: str, environment: dict[str, str] | None = None
) -> RunRequirements:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return read_requirements(path, environment or {})


def test_a_demo_requires_no_gpu_and_no_services() -> None:
    assert read_requirements(None, {}) == RunRequirements(
        False, (), "sqlite:///mlflow.db", None, ()
    )


def test_requirements_are_found_at_any_depth(tmp_path: Path) -> None:
    text = """
        generate:
          input: s3://photos/ls3d
          output: s3://pairs/0
          pools: {reconstruct_gpus: 0.5}
        finetune: {storage: s3://pairs/0}
        tracking_uri: http://mlflow:5000
        ray_address: http://head:8265
    """
    assert read_text_requirements(tmp_path, text) == RunRequirements(
        True,
        ("s3://pairs/0", "s3://photos/ls3d"),
        "http://mlflow:5000",
        "http://head:8265",
        ("s3://pairs/0",),
    )


@pytest.mark.parametrize(
    ("text", "gpu"),
    [
        ("use_gpu: true", True),
        ("use_gpu: false", False),
        ("num_gpus: 0", False),
        ("num_gpus: 1", True),
        ("device: cuda:0", True),
        ("device: cpu", False),
        ("", False),
    ],
)
def test_a_gpu_is_required_when_the_config_requests_one(
    tmp_path: Path, text: str, gpu: bool
) -> None:
    assert read_text_requirements(tmp_path, text).gpu is gpu


@pytest.mark.parametrize(
    ("text", "compiled"), [("inference: {compile: true}", True), ("seed: 1", False)]
)
def test_a_compiler_is_required_when_networks_are_compiled(
    tmp_path: Path, text: str, compiled: bool
) -> None:
    assert read_text_requirements(tmp_path, text).compilation is compiled


def test_the_config_overrides_the_environment(tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": "http://a", "RAY_ADDRESS": "b:6379"}
    assert read_text_requirements(tmp_path, "seed: 0", environment)[2:4] == ("http://a", "b:6379")
    requirements = read_text_requirements(
        tmp_path, "tracking_uri: sqlite:///c.db\nray_address: auto", environment
    )
    assert requirements[2:4] == ("sqlite:///c.db", "auto")


@pytest.mark.parametrize("text", ["- a", "a: [", "word"])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match=r"run\.yaml"):
        read_text_requirements(tmp_path, text)


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.yaml"):
        read_requirements(tmp_path / "none.yaml")


def test_a_login_in_a_uri_is_refused(tmp_path: Path) -> None:
    uri = "http://me:hunter2@host:5000"
    with pytest.raises(RequestError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        read_requirements(None, {"MLFLOW_TRACKING_URI": uri})
    assert "hunter2" not in str(refused.value)
    (tmp_path / "a.yaml").write_text(f"tracking_uri: {uri}\n")
    with pytest.raises(RequestError, match="MLFLOW_TRACKING_PASSWORD"):
        read_requirements(tmp_path / "a.yaml", {})
