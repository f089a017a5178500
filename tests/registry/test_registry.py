import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from rayboot.errors import RequestError
from rayboot.models import VRN, VRNConfig, load_vrn, save_network
from rayboot.registry.models import (
    champion_version,
    pin_model,
    promote,
    register_weights,
    resolve_weights,
)
from rayboot.registry.tracking import Run, default_tracking_uri, open_run

TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
IMAGES = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return uri, open_run(uri, "tests", "run", (folder / "files").as_uri()), folder


def occupancy(network: VRN) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(IMAGES)).numpy()


def network(seed: int) -> VRN:
    torch.manual_seed(seed)
    return VRN(TINY).eval()


@pytest.fixture(scope="module")
def versions(store: tuple[str, Run, Path]) -> dict[int, str]:
    _, run, folder = store
    found = {}
    for seed in (0, 1):
        save_network(network(seed), folder / f"{seed}.safetensors")
        found[seed] = register_weights(
            run, "vrn-test", folder / f"{seed}.safetensors", IMAGES, occupancy(network(seed))
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


def test_champion_moves_and_the_former_one_is_kept(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    uri = store[0]
    assert champion_version(uri, "vrn-test") is None
    assert promote(uri, "vrn-test", versions[0]) is None
    assert promote(uri, "vrn-test", versions[1]) == versions[0]
    assert champion_version(uri, "vrn-test") == versions[1]
    assert pin_model("models:/vrn-test@champion", uri) == f"models:/vrn-test/{versions[1]}"
    assert pin_model("models:/vrn-test@previous", uri) == f"models:/vrn-test/{versions[0]}"
    assert resolve_weights("models:/vrn-test@champion", uri).exists()


def test_served_model_gives_the_networks_output(
    store: tuple[str, Run, Path], versions: dict[int, str]
) -> None:
    mlflow.set_tracking_uri(store[0])
    served = mlflow.pyfunc.load_model(f"models:/vrn-test/{versions[0]}")
    assert np.allclose(served.predict({"images": IMAGES}), occupancy(network(0)), atol=1e-6)
    assert served.metadata.signature.inputs.to_dict()[0]["name"] == "images"


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
        pin_model("models:/nobody@champion", uri)
    assert pin_model("some/file.t7", uri) == "some/file.t7"


def test_runs_keep_params_metrics_and_status(store: tuple[str, Run, Path]) -> None:
    uri, _, folder = store
    run = open_run(uri, "tests", "another")
    run.log_params({"a": {"b": 1}, "c": "x"})
    run.log_metrics({"loss": 0.5}, step=3)
    (folder / "note.txt").write_text("here")
    run.log_file(folder / "note.txt")
    # Whoever has the id may go on with it.
    Run(uri, run.run_id).set_tags({"k": "v"})
    with pytest.raises(KeyboardInterrupt), run.closing():
        raise KeyboardInterrupt
    found = mlflow.MlflowClient(uri).get_run(run.run_id)
    assert found.data.params == {"a.b": "1", "c": "x"}
    assert found.data.metrics == {"loss": 0.5}
    assert found.data.tags["k"] == "v"
    assert found.info.status == "FAILED"


def test_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert default_tracking_uri() == "http://somewhere:5000"


def test_names_are_known_without_mlflow() -> None:
    code = "import rayboot.pipeline.config, sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
