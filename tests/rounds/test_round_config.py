from pathlib import Path

import pytest

from rayboot.rounds.demo import demo_config
from rayboot.rounds.round_config import RoundConfig

EVALUATION = {"datasets": {"synthetic": {"kind": "synthetic", "data": "faces"}}}


def make_config(**fields: object) -> RoundConfig:
    return RoundConfig.model_validate({"photos": "p", "evaluation": EVALUATION, **fields})


def test_pairs_and_checkpoints_are_in_the_output_unless_storage_is_given(tmp_path: Path) -> None:
    local = make_config(output=str(tmp_path)).with_absolute_paths()
    assert local.pairs_uri == f"{tmp_path}/pairs"
    assert local.training_uri == f"{tmp_path}/training"
    shared = make_config(output=str(tmp_path), storage="s3://runs/1").with_absolute_paths()
    assert (shared.pairs_uri, shared.training_uri) == ("s3://runs/1/pairs", "s3://runs/1/training")


def test_folders_become_absolute_for_processes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = make_config(output="runs/1", storage="data").with_absolute_paths()
    assert (absolute.output, absolute.storage) == (str(tmp_path / "runs/1"), str(tmp_path / "data"))


def test_the_tracking_store_comes_from_the_config_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = make_config(output=str(tmp_path))
    assert config.with_absolute_paths().tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert config.with_absolute_paths().tracking_uri == "http://mlflow:5000"
    monkeypatch.chdir(tmp_path)
    named = config.replace(tracking_uri="sqlite:///own.db")
    assert named.with_absolute_paths().tracking_uri == f"sqlite:///{tmp_path}/own.db"
    demo = demo_config().round_config(tmp_path)
    assert demo.with_absolute_paths().tracking_uri == f"sqlite:///{tmp_path}/round/mlflow.db"
