import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import rayboot
from rayboot.errors import RequestError
from rayboot.models import VRN, VRNConfig, load_vrn, save_network
from rayboot.registry.promotion import champion_version, promote
from rayboot.registry.registration import (
    InputExamples,
    pin_model_version,
    register_weights,
    resolve_weights,
)
from rayboot.registry.runs import Run, open_run

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
CODE = Path(rayboot.__file__).parent / "serving/served.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
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
    found = {}
    for seed in (0, 1):
        save_network(network(seed), folder / f"{seed}.safetensors")
        weights = folder / f"{seed}.safetensors"
        found[seed] = register_weights(
            run, "vrn-test", weights, CODE, examples(network(seed)), {"rayboot.seed": str(seed)}
        )
    return found


def test_versions_count_up_and_carry_their_weights(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    assert list(versions.values()) == ["1", "2"]
    for seed, version in versions.items():
        loaded = load_vrn(resolve_weights(f"models:/vrn-test/{version}", store[0]))
        for key, value in network(seed).state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)


def test_registering_sets_the_process_to_no_store(
    store: tuple[str, Run, Path], versions: dict[int, str], tmp_path: Path
) -> None:
    """Another store's versions would else be looked for in this one's registry."""
    assert store[0] not in (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    mlflow.set_registry_uri(store[0])
    try:
        assert champion_version(f"sqlite:///{tmp_path / 'other.db'}", "vrn-test") is None
    finally:
        mlflow.set_registry_uri(None)


def test_an_alias_is_pinned_to_its_version(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    uri = store[0]
    promote(uri, "vrn-test", versions[1], None)
    assert pin_model_version("models:/vrn-test@champion", uri) == f"models:/vrn-test/{versions[1]}"
    assert resolve_weights("models:/vrn-test@champion", uri).exists()


def test_versions_say_what_they_take_give_need_and_come_from(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    uri = store[0]
    mlflow.set_tracking_uri(uri)
    info = mlflow.models.get_model_info(f"models:/vrn-test/{versions[0]}")
    assert info.signature.inputs.inputs[0].shape == (-1, -1, -1, 3)
    assert [param.name for param in info.signature.params] == ["output"]
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/vrn-test/{versions[0]}"))
    assert (folder / "code/rayboot/models/vrn.py").is_file()
    assert not list(folder.rglob("*.pkl"))
    needed = (folder / "requirements.txt").read_text().split()
    assert all("==" in line and "+" not in line for line in needed)
    assert not {"ray", "pyopengl", "pyrender"} & {line.split("==")[0].lower() for line in needed}
    tags = mlflow.MlflowClient(uri).get_model_version("vrn-test", versions[1]).tags
    assert tags["rayboot.seed"] == "1"


def test_missing_models_are_named(store: tuple[str, Run, Path]) -> None:
    uri = store[0]
    for model, word in (
        ("models:/nobody/3", "registry"),
        ("models:/nobody@champion", "registry"),
        ("models:/wrong name", "expected models:"),
        ("no/such.safetensors", "no such file"),
    ):
        with pytest.raises(RequestError, match=word):
            resolve_weights(model, uri)
    with pytest.raises(RequestError, match="no such alias"):
        pin_model_version("models:/nobody@champion", uri)
    assert pin_model_version("some/file.t7", uri) == "some/file.t7"


def test_names_are_known_without_mlflow() -> None:
    code = "import rayboot.pipeline.generate_config, sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
