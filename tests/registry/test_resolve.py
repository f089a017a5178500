import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import torch

from rayboot.errors import RequestError
from rayboot.models import VRN, VRNConfig, save_network
from rayboot.registry.download import WEIGHTS_FILE
from rayboot.registry.model_names import BUILTIN
from rayboot.registry.model_versions import find_version, list_versions
from rayboot.registry.promotion import champion_version, promote, record_refusal, roll_back
from rayboot.registry.resolve import resolve_model

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(VRN(TINY), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def store(tmp_path: Path, weights: Path, create_mlflow_store: Callable[[Path], str]) -> str:
    """A registry with two versions of the model ``faces``; version 1 is the champion."""
    uri = create_mlflow_store(tmp_path)
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("faces")
    for number in (1, 2):
        folder = tmp_path / f"version-{number}" / "artifacts"
        folder.mkdir(parents=True)
        shutil.copy(weights, folder / WEIGHTS_FILE)
        client.create_model_version("faces", str(folder.parent))
    client.set_registered_model_alias("faces", "champion", "1")
    return uri


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """URIs of what is downloaded from now on."""
    uris: list[str] = []
    download = mlflow.artifacts.download_artifacts

    def counted(uri: str) -> str:
        uris.append(uri)
        return download(uri)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", counted)
    return uris


def test_a_file_is_resolved_to_its_digest_and_config(weights: Path) -> None:
    model = resolve_model(str(weights))
    assert model.uri == str(weights)
    assert model.path == resolve_model(f"file://{weights}").path == weights
    assert model.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert model.config == TINY
    assert resolve_model(model) is model


def test_a_replaced_file_is_read_again(weights: Path) -> None:
    before = resolve_model(str(weights))
    save_network(VRN(TINY.replace(slices=20)), weights)
    after = resolve_model(str(weights))
    assert after.sha256 != before.sha256
    assert (before.config.slices, after.config.slices) == (16, 20)


def test_an_alias_is_pinned_to_its_version(store: str, weights: Path) -> None:
    model = resolve_model("models:/faces@champion", store)
    assert model.uri == "models:/faces/1"
    assert model.path.read_bytes() == weights.read_bytes()
    assert model.config == TINY


def test_a_version_is_downloaded_once(store: str, downloads: list[str]) -> None:
    first = resolve_model("models:/faces@champion", store)
    assert resolve_model("models:/faces/1", store) == first
    assert resolve_model("models:/faces@champion", store) == first
    assert downloads == [f"models:/faces/1/artifacts/{WEIGHTS_FILE}"]
    # An alias that moves is followed.
    mlflow.MlflowClient(store, store).set_registered_model_alias("faces", "champion", "2")
    assert resolve_model("models:/faces@champion", store).uri == "models:/faces/2"
    assert len(downloads) == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("models:/nobody/3", "models:/nobody/3: cannot be read from the registry"),
        ("models:/nobody@champion", "has no such alias"),
        ("models:/wrong name", "expected models:/NAME/VERSION"),
        ("no/such.safetensors", "no such file"),
    ],
)
def test_missing_models_are_named(store: str, model: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        resolve_model(model, store)


def test_builtin_models_are_shipped() -> None:
    for name in BUILTIN:
        assert resolve_model(name).path.name == BUILTIN[name]


def test_names_are_known_without_mlflow() -> None:
    code = "import rayboot.pipeline.generate_config, sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_registry_apart_from_the_tracking_server_is_honoured(
    store: str,
    tmp_path: Path,
    weights: Path,
    create_mlflow_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Teams that track runs in servers of their own, and share one registry."""
    (tmp_path / "tracking").mkdir()
    tracking = create_mlflow_store(tmp_path / "tracking")
    with pytest.raises(RequestError, match="models:/faces/1"):
        resolve_model("models:/faces/1", tracking)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", store)
    assert resolve_model("models:/faces@champion", tracking).uri == "models:/faces/1"
    assert resolve_model("models:/faces/2", tracking).path.read_bytes() == weights.read_bytes()
    assert champion_version(tracking, "faces") == "1"
    promote(tracking, "faces", "2", expected="1")
    record_refusal(tracking, "faces", "1", "worse")
    aliases = mlflow.MlflowClient(store, store).get_registered_model("faces").aliases
    assert {name: str(number) for name, number in aliases.items()} == {
        "champion": "2", "previous": "1",
    }  # fmt: skip
    assert [version.version for version in list_versions(tracking)] == ["1", "2"]
    assert find_version(tracking, "models:/faces@previous").tags["rayboot.not_promoted"] == "worse"
    assert roll_back(tracking, "faces").champion == "1"
    assert not mlflow.MlflowClient(tracking, tracking).search_registered_models()
    # Nothing of it stays in the process.
    assert os.environ["MLFLOW_REGISTRY_URI"] == store
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "https://me:secret@registry.example.org")
    with pytest.raises(RequestError, match="MLflow's registry URI"):
        champion_version(tracking, "faces")


def test_a_version_that_somebody_uploaded_is_served_or_refused_by_name(
    store: str, tmp_path: Path, weights: Path
) -> None:
    client = mlflow.MlflowClient(store, store)
    contents = {
        "3": {"data/best.safetensors": weights.read_bytes()},
        "4": {"model.pkl": b"1", "conda.yaml": b"2"},
        "5": {"model.safetensors": b"not of this kind"},
    }
    for number, files in contents.items():
        for name, payload in files.items():
            file = tmp_path / f"by-hand-{number}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload)
        made = client.create_model_version("faces", str(tmp_path / f"by-hand-{number}"))
        assert str(made.version) == number
    assert resolve_model("models:/faces/3", store).config == TINY
    message = (
        r"models:/faces/4: expected .* got conda\.yaml, model\.pkl; .* not registered by rayboot"
    )
    with pytest.raises(RequestError, match=message):
        resolve_model("models:/faces/4", store)
    with pytest.raises(RequestError, match="of the registered version models:/faces/5"):
        resolve_model("models:/faces/5", store)
