import hashlib
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
