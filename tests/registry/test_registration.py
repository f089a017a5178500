import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

import rayboot
from rayboot.models import VRN, InferenceConfig, VRNConfig, load_vrn, save_network
from rayboot.models.predictor import Predictor
from rayboot.registry.promotion import champion_version
from rayboot.registry.registration import InputExamples, register_weights
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import Run, open_run, set_default_store
from tests.integration.portraits import find_portraits

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
CODE = Path(rayboot.__file__).parent / "inference/mlflow_model.py"


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, create_mlflow_store: Callable[[Path], str]
) -> tuple[str, Run, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    uri = create_mlflow_store(folder)
    return uri, open_run(uri, "tests", "run", (folder / "files").as_uri()), folder


def examples(network: VRN) -> InputExamples:
    images = torch.from_numpy(PHOTOS.transpose(0, 3, 1, 2) / np.float32(255))
    with torch.inference_mode():
        return InputExamples(PHOTOS, network(images).numpy())


def network(seed: int) -> VRN:
    torch.manual_seed(seed)
    return VRN(TINY).eval()


@pytest.fixture(scope="module")
def versions(store: tuple[str, Run, Path]) -> dict[int, str]:
    _, run, folder = store
    numbers = {}
    for seed in (0, 1):
        save_network(network(seed), folder / f"{seed}.safetensors")
        weights = folder / f"{seed}.safetensors"
        numbers[seed] = register_weights(
            run, "vrn-test", weights, CODE, examples(network(seed)), {"rayboot.seed": str(seed)}
        )
    return numbers


@pytest.fixture(scope="module")
def downloaded(
    store: tuple[str, Run, Path],
    versions: dict[int, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("downloaded")
    uri = f"models:/vrn-test/{versions[0]}"
    with set_default_store(store[0]):
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))


def test_version_numbers_count_up_and_each_version_has_its_weights(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    assert list(versions.values()) == ["1", "2"]
    for seed, version in versions.items():
        loaded = load_vrn(resolve_model(f"models:/vrn-test/{version}", store[0]).path)
        for key, value in network(seed).state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)


def test_registering_leaves_the_default_store_of_the_process(
    store: tuple[str, Run, Path],
    versions: dict[int, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the versions of another store would be looked up in this one's registry."""
    assert store[0] not in (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    # MLflow sets this too, and does not reset it.
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", store[0])
    mlflow.set_registry_uri(store[0])
    try:
        assert champion_version(f"sqlite:///{tmp_path / 'other.db'}", "vrn-test") is None
    finally:
        mlflow.set_registry_uri(None)


def test_a_version_has_signature_requirements_and_provenance(
    store: tuple[str, Run, Path], versions: dict[int, str], downloaded: Path
) -> None:
    with set_default_store(store[0]):
        info = mlflow.models.get_model_info(f"models:/vrn-test/{versions[0]}")
    assert info.signature.outputs.inputs[0].shape == (-1, *examples(network(0)).occupancy.shape[1:])
    assert [param.name for param in info.signature.params] == ["output"]
    assert not list(downloaded.rglob("*.pkl"))
    requirements = (downloaded / "requirements.txt").read_text().split()
    assert all("==" in line and "+" not in line for line in requirements)
    packages = {line.split("==")[0].lower() for line in requirements}
    assert not {"ray", "pyopengl", "pyrender"} & packages
    tags = mlflow.MlflowClient(store[0]).get_model_version("vrn-test", versions[1]).tags
    assert tags["rayboot.seed"] == "1"


def test_the_code_of_a_version_has_no_built_in_weights(downloaded: Path) -> None:
    package = downloaded / "code/rayboot"
    assert (package / "models/vrn.py").is_file()
    # Data files that code reads stay.
    assert list(package.rglob("*.npz")) and list(package.rglob("*.yaml"))
    assert list(downloaded.rglob("*.safetensors")) == [downloaded / "artifacts/vrn.safetensors"]


@pytest.mark.parametrize(
    "wrong", [PHOTOS[0], PHOTOS[..., :1], PHOTOS / np.float32(255), [[1, 2], [3, 4]], {"photo": 1}]
)
def test_a_wrong_shape_is_one_sentence(downloaded: Path, wrong: Any) -> None:
    model = mlflow.pyfunc.load_model(str(downloaded))
    with pytest.raises(mlflow.MlflowException, match=r"must be uint8 RGB \(B, H, W, 3\)") as caught:
        model.predict(wrong)
    assert len(str(caught.value)) < 120
    # The integers of a JSON request are photos.
    assert model.predict(PHOTOS.astype(np.int64)).shape == model.predict(PHOTOS).shape


@pytest.fixture
def client(downloaded: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """What `mlflow models serve` answers with."""
    # MLflow's server sets it, for the whole process.
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    return TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(downloaded))))


@pytest.mark.parametrize(
    "wrong",
    [PHOTOS[0], PHOTOS[..., :1], PHOTOS / 255, PHOTOS.astype(int) + 300, np.array([[1, 2]])],
)
def test_a_wrong_shape_is_one_sentence_over_http(client: TestClient, wrong: np.ndarray) -> None:
    answer = client.post("/invocations", json={"inputs": wrong.tolist()})
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert message.startswith("photos must be uint8 RGB (B, H, W, 3), got ")
    assert len(message) < 120 and "\n" not in message


def test_one_photo_without_a_face_does_not_lose_the_others_over_http(
    client: TestClient, synthetic_set: str, detector: Any
) -> None:
    (portrait,) = find_portraits(synthetic_set, detector, 1)
    photos = np.stack([portrait, np.full_like(portrait, 90), portrait])
    answer = client.post("/invocations", json={"inputs": photos.tolist()})
    assert answer.status_code == 200
    first, nothing, last = answer.json()["predictions"]
    assert np.shape(first) == np.shape(last) == (16, 32, 32)
    assert list(nothing) == ["error"] and "photo 1 of 3" in nothing["error"]
    nobody = client.post("/invocations", json={"inputs": photos[1:2].tolist()})
    assert nobody.status_code == 400
    assert "photo 0 of 1" in nobody.json()["message"] and len(nobody.json()["message"]) < 250


def test_a_version_reconstructs_with_its_own_code(downloaded: Path, tmp_path: Path) -> None:
    code = (
        "import sys, mlflow.pyfunc, numpy as np; "
        "model = mlflow.pyfunc.load_model(sys.argv[1]); "
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2]))); "
        "import rayboot; print(rayboot.__file__)"
    )
    np.save(tmp_path / "photos.npy", PHOTOS)
    arguments = [str(downloaded), str(tmp_path / "photos.npy"), str(tmp_path / "occupancy.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(downloaded / "code/rayboot/__init__.py")
    occupancy = np.load(tmp_path / "occupancy.npy")
    # Versions predict in bfloat16 where the processor multiplies in it; the examples are in float32
    # everywhere.
    expected = Predictor(network(0), InferenceConfig(), len(PHOTOS)).predict(PHOTOS)
    np.testing.assert_allclose(occupancy, expected, atol=1e-5)
    np.testing.assert_allclose(occupancy, examples(network(0)).occupancy, atol=0.01)
