"""Versions that rayboot 0.1 registered keep working."""

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

import rayboot
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.registry.model_versions import find_version
from rayboot.registry.resolve import ResolvedModel, resolve_model
from rayboot.registry.runs import set_default_store

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
LOAD = """
import sys
import numpy as np
if sys.argv[1] == "imported":
    import rayboot.models, rayboot.registry.resolve
import mlflow.pyfunc
model = mlflow.pyfunc.load_model("models:/rayboot-vrn@champion")
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
import rayboot
print(rayboot.__file__)
"""


@pytest.fixture(scope="module")
def tracking_uri(version_0_1: Path) -> str:
    return f"sqlite:///{version_0_1 / 'round/mlflow.db'}"


@pytest.fixture(scope="module")
def model(tracking_uri: str) -> ResolvedModel:
    return resolve_model("models:/rayboot-vrn@champion", tracking_uri)


@pytest.fixture(scope="module")
def occupancy(model: ResolvedModel) -> np.ndarray:
    return Predictor(load_network(model.path), InferenceConfig(), 2).predict(PHOTOS)


def test_a_version_is_resolved(tracking_uri: str, model: ResolvedModel) -> None:
    assert model.uri == "models:/rayboot-vrn/1"
    assert (model.config.slices, model.config.resolution) == (48, 48)
    tags = find_version(tracking_uri, "models:/rayboot-vrn@champion").tags
    assert tags["rayboot.weights_digest"] == model.sha256
    assert tags["rayboot.version"] == "0.1.0"


def test_its_network_predicts(occupancy: np.ndarray) -> None:
    assert occupancy.shape == (2, 48, 48, 48)
    assert 0 <= occupancy.min() < occupancy.max() <= 1


@pytest.mark.parametrize("rayboot_is", ["absent", pytest.param("imported", marks=pytest.mark.slow)])
def test_mlflow_loads_it_in_a_process_with_and_without_rayboot(
    rayboot_is: str, tracking_uri: str, occupancy: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "photos.npy", PHOTOS)
    files = [str(tmp_path / name) for name in ("photos.npy", "occupancy.npy")]
    with set_default_store(tracking_uri):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, rayboot_is, *files],
            # Started elsewhere, so that the working folder is not on the import path.
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    # MLflow puts the version's own code first, unless rayboot is imported already.
    package = Path(done.stdout.strip())
    assert ("code/rayboot" in str(package)) == (rayboot_is == "absent")
    np.testing.assert_allclose(np.load(files[1]), occupancy, atol=0.02)


def test_mlflow_loads_it_in_this_process(tracking_uri: str, occupancy: np.ndarray) -> None:
    before = list(sys.path)
    with set_default_store(tracking_uri):
        loaded = mlflow.pyfunc.load_model("models:/rayboot-vrn/1")
    # MLflow leaves the version's code on the import path.
    sys.path[:] = before
    np.testing.assert_array_equal(loaded.predict(PHOTOS), occupancy)
    assert "code/rayboot" not in rayboot.__file__
    with pytest.raises(mlflow.MlflowException, match="output"):
        loaded.predict(PHOTOS, params={"output": "obj"})
