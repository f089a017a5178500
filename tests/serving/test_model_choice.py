from pathlib import Path

import pytest

from rayboot.errors import RequestError
from rayboot.registry.promotion import promote
from rayboot.serving.model_choice import choose_comparison, choose_model
from rayboot.serving.serve_config import ServeConfig


def test_the_champion_is_served_or_the_shipped_network(registry: str, tmp_path: Path) -> None:
    absent = ServeConfig(tracking_uri=f"sqlite:///{tmp_path / 'absent.db'}")
    assert choose_model(absent).current_name() == "builtin:base"
    assert choose_comparison(absent) is None
    assert not (tmp_path / "absent.db").exists()
    choice = choose_model(ServeConfig(tracking_uri=registry))
    assert choice.current_name() == "models:/rayboot-vrn@champion" and choice.can_move


def test_a_registry_apart_from_the_store_is_used(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{Path(registry).name}")
    store = f"sqlite:///{tmp_path / 'absent.db'}"
    choice = choose_model(ServeConfig(tracking_uri=store))
    assert choice.tracking_uri == store and choice.registry_uri == registry
    assert choice.environment() == {"MLFLOW_REGISTRY_URI": registry}
    assert choice.current_name() == "models:/rayboot-vrn@champion"
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    assert choose_model(ServeConfig(tracking_uri=registry)).environment() == {}


def test_the_previous_champion_is_compared(registry: str) -> None:
    config = ServeConfig(tracking_uri=registry)
    assert choose_comparison(config) is None
    promote(registry, "rayboot-vrn", "2", "1")
    choice = choose_comparison(config)
    assert choice is not None and choice.name == "models:/rayboot-vrn@previous"
    # Where a model is named, only a second name brings another one.
    assert choose_comparison(config.replace(model="builtin:head")) is None
    named = config.replace(model="builtin:head", compare_with="builtin:compact")
    assert choose_comparison(named) is not None


@pytest.mark.parametrize("name", ["models:/rayboot-vrn/7", "no/file.safetensors", "builtin:other"])
def test_a_model_that_does_not_exist_is_refused(registry: str, name: str) -> None:
    with pytest.raises(RequestError, match=name.rpartition(":")[2]):
        choose_model(ServeConfig(model=name, tracking_uri=registry))
    with pytest.raises(RequestError):
        choose_comparison(ServeConfig(compare_with=name, tracking_uri=registry))


def test_only_an_alias_moves(registry: str) -> None:
    for name, can_move in (
        ("builtin:base", False),
        ("models:/rayboot-vrn/1", False),
        ("models:/rayboot-vrn@champion", True),
    ):
        choice = choose_model(ServeConfig(model=name, tracking_uri=registry))
        assert choice.can_move is can_move
