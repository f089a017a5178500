from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.config import FrozenConfig
from rayboot.diagnostics import doctor
from rayboot.diagnostics.config_checks import check_config
from rayboot.diagnostics.config_gpus import count_gpus
from rayboot.diagnostics.doctor import Check, RunRequirements
from rayboot.diagnostics.ray_check import check_ray
from rayboot.diagnostics.requirements import read_requirements
from rayboot.errors import RequestError
from rayboot.submission.tasks import load_any_config
from tests.ray_head import start_head

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def outcomes(path: Path) -> dict[str, str]:
    config = load_any_config(path)
    assert config is not None
    return {check.detail.partition(":")[0]: check.status for check in check_config(config)}


def test_what_a_round_reads_is_missing_until_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = CONFIGS / "round-photos.yaml"
    missing = {"data/photos": "FAIL", "data/test-faces": "FAIL"}
    assert outcomes(path).items() >= missing.items()
    for name in missing:
        (tmp_path / name).mkdir(parents=True)
    assert set(outcomes(path).values()) == {"ok"}


def test_weights_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text("{data: pairs, model: none.safetensors}")
    assert outcomes(path) == {"pairs": "FAIL", "model none.safetensors": "FAIL"}
    path.write_text("{data: pairs, model: 'builtin:base'}")
    assert outcomes(path)["builtin"] == "ok"


def test_folders_that_a_run_writes_and_stores_are_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("{input: 's3://bucket/photos', output: new}")
    config = load_any_config(path)
    assert config is not None
    assert [check.name for check in check_config(config)] == ["model", "face detector"]


def test_configs_of_no_command_and_with_invalid_values(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("ray_address: http://head:8265")
    assert load_any_config(path) is None
    path.write_text("{data: pairs, model: m, use_gpu: perhaps}")
    with pytest.raises(RequestError, match="use_gpu"):
        load_any_config(path)


def test_the_store_is_that_of_the_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    checked = []

    def record(requirements: RunRequirements, config: FrozenConfig | None) -> Iterator[Check]:
        checked.append(requirements)
        return iter(())

    monkeypatch.setattr(doctor, "diagnose", record)
    path = CONFIGS / "round-photos.yaml"
    result = CliRunner().invoke(main, ["doctor", "--config", str(path)])
    assert result.exit_code == 0, result.output
    (requirements,) = checked
    assert requirements.tracking_uri == f"sqlite:///{tmp_path / 'runs/photos/mlflow.db'}"


def test_the_network_of_a_round_is_the_one_that_generates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`generate.model` is not used in a round, and its default need not be there."""
    named = []

    def record(requirements: RunRequirements, config: FrozenConfig) -> Iterator[Check]:
        named.extend(check.detail for check in check_config(config) if check.name == "model")
        return iter(())

    monkeypatch.setattr(doctor, "diagnose", record)
    result = CliRunner().invoke(main, ["doctor", "--config", str(CONFIGS / "paper.yaml")])
    assert result.exit_code == 0, result.output
    assert len(named) == 1 and "data/vrn-unguided.safetensors" in named[0]


def test_the_gpus_of_a_cluster_are_its_nodes(tmp_path: Path) -> None:
    """The head, where docs say to run it, has none."""
    path = tmp_path / "run.yaml"
    path.write_text("{input: photos, output: pairs, pools: {reconstruct_gpus: 1}}")
    for address in ("ray://head:10001", None):
        environment = {} if address is None else {"RAY_ADDRESS": address}
        requirements = read_requirements(path, environment)
        assert requirements.gpu
        check = next(check for check in doctor.diagnose(requirements) if check.name == "GPU")
        is_missing = address is None and not torch.cuda.is_available()
        assert (check.status == "FAIL") == is_missing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{input: photos, output: pairs}", 0),
        (
            "{input: p, output: o, pools: {num_reconstruct_actors: 3, reconstruct_gpus: 0.5,"
            " num_render_actors: 2, render_gpus: 0.25}}",
            2,
        ),
        ("{data: pairs, model: 'builtin:base', use_gpu: true, num_workers: [2, 4]}", 2),
        ("{data: pairs, model: 'builtin:base', use_gpu: false, num_workers: 3}", 0),
    ],
)
def test_gpus_of_a_config(tmp_path: Path, text: str, expected: float) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    config = load_any_config(path)
    assert config is not None
    assert count_gpus(config) == expected


def test_steps_of_a_round_do_not_need_their_gpus_at_the_same_time() -> None:
    config = load_any_config(CONFIGS / "round-spot.yaml")
    assert config is not None
    assert count_gpus(config) == 1


def test_a_cluster_with_too_few_gpus_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_head(tmp_path, num_gpus=1) as head:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            monkeypatch.setenv(name, head.environment[name])
        monkeypatch.delenv("RAYBOOT_WAIT_FOR_NODES_S", raising=False)
        for address in (head.driver_address, head.address):
            enough = check_ray(address, needed_gpus=1)
            assert (enough.status, "1 GPUs" in enough.detail) == ("ok", True), enough
            check = check_ray(address, needed_gpus=2)
            assert check.status == "FAIL"
            assert check.detail == (
                f"{address} has 1 GPUs, and the config needs 2 at the same time"
            )
        monkeypatch.setenv("RAYBOOT_WAIT_FOR_NODES_S", "600")
        check = check_ray(head.address, needed_gpus=2)
        assert check.status == "note" and "waits 600 s" in check.remedy
