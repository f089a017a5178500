import json
from pathlib import Path

import pytest

from rayboot.cli import shipped_configs
from rayboot.cli.shipped_configs import copy_config, find_config, list_configs
from rayboot.errors import RequestError
from rayboot.submission.tasks import CONFIG_TYPES, load_any_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_all_configs_of_the_clone_are_listed() -> None:
    listed = list_configs()
    assert [config.path for config in listed] == sorted(
        CONFIGS.glob("*.yaml"), key=lambda path: path.stem
    )
    for config in listed:
        assert config.summary.endswith(".") and len(config.summary) > 20, config
        assert config.summary.count("(") == config.summary.count(")"), config
        assert config.command.split()[0] in CONFIG_TYPES, config


def test_the_command_of_a_config_is_the_one_that_its_keys_fit() -> None:
    for config in list_configs():
        task = "robustness" if "robustness" in config.command else config.command
        if task != "serve":  # a service is configured, not run as a task
            assert isinstance(load_any_config(config.path), CONFIG_TYPES[task]), config.name


def test_a_config_is_found_with_and_without_its_suffix() -> None:
    assert find_config("paper") == find_config("paper.yaml") == CONFIGS / "paper.yaml"
    with pytest.raises(RequestError, match=r"did you mean round-photos .*list them with"):
        find_config("round-photo")


def test_configs_of_another_package_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rayboot").mkdir()
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(shipped_configs.rayboot, "__file__", f"{tmp_path}/rayboot/__init__.py")
    with pytest.raises(RequestError, match="configs of rayboot are missing"):
        list_configs()
    (tmp_path / "rayboot/configs").mkdir()
    (tmp_path / "rayboot/configs/own.yaml").write_text("# A config.\noutput: a\n")
    (config,) = list_configs()
    assert (config.name, config.command, config.summary) == ("own", "", "A config.")


def test_a_copy_has_its_schema_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = copy_config("round-photos", tmp_path / "new")
    assert path.read_bytes() == (CONFIGS / "round-photos.yaml").read_bytes()
    schema = tmp_path / "new/schemas/round.json"
    assert schema.read_bytes() == (CONFIGS / "schemas/round.json").read_bytes()
    path.write_text("changed")
    with pytest.raises(RequestError, match="exists and is kept"):
        copy_config("round-photos", tmp_path / "new")
    assert path.read_text() == "changed"
    # The schema of another version is replaced, a file of somebody else is not.
    schema.write_text(json.dumps({"title": "RoundConfig"}))
    copy_config("paper", tmp_path / "new")
    assert "properties" in json.loads(schema.read_text())
    schema.write_text("{}")
    with pytest.raises(RequestError, match="no schema of rayboot"):
        copy_config("round-spot", tmp_path / "new")
    assert schema.read_text() == "{}" and not (tmp_path / "new/round-spot.yaml").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="give another folder"):
        copy_config("paper", tmp_path / "file")
