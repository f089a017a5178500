import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rayboot.errors import RaybootError, RequestError
from rayboot.models import HeadConfig, make_network, save_network
from rayboot.registry import onnx_file
from rayboot.registry.model_versions import find_version
from rayboot.registry.onnx_file import register_onnx, write_onnx
from rayboot.registry.runs import make_client, open_run

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "head.safetensors"
    save_network(make_network(HeadConfig(resolution=32, channels=(16, 16), features=16)), path)
    return path


def test_a_file_names_its_model(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "head.onnx"
    path.write_bytes(b"an older one")
    assert write_onnx(str(weights), path).surface_px < 1e-3
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties["rayboot.model"] == str(weights)
    assert len(properties["rayboot.weights_sha256"]) == 64
    assert [child.name for child in tmp_path.iterdir()] == ["head.onnx"]


def test_a_file_that_differs_is_not_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_SURFACE_ERROR", -1.0)
    with pytest.raises(RaybootError, match=r"was not written.*differs by .* px, expected -1.0"):
        write_onnx(str(weights), tmp_path / "head.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_request_is_refused_at_once(weights: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "a.txt", tmp_path / "nowhere" / "a.onnx"):
        with pytest.raises(RequestError, match=r"a folder that exists, its name in \.onnx"):
            write_onnx(str(weights), path)
    with pytest.raises(RequestError, match="no such file"):
        write_onnx("builtin:nothing", tmp_path / "a.onnx")


def test_a_version_has_its_file_as_an_artifact(
    weights: Path, tmp_path: Path, create_mlflow_store: Callable[[Path], str]
) -> None:
    uri = create_mlflow_store(tmp_path)
    run = open_run(uri, "tests", "run", (tmp_path / "files").as_uri())
    client = make_client(uri)
    client.create_registered_model("head")
    for number, run_id in (("1", run.run_id), ("2", None)):
        folder = tmp_path / number / "artifacts"
        folder.mkdir(parents=True)
        shutil.copy(weights, folder / "vrn.safetensors")
        client.create_model_version("head", str(folder.parent), run_id)
    client.set_registered_model_alias("head", "champion", "1")
    path = tmp_path / "head.onnx"
    difference, artifact = register_onnx("models:/head@champion", path, uri)
    assert difference.surface_px < 1e-3
    assert artifact == f"runs:/{run.run_id}/onnx/head.onnx"
    stored = client.download_artifacts(run.run_id, "onnx/head.onnx", str(tmp_path))
    tags = find_version(uri, "models:/head/1").tags
    assert tags["rayboot.onnx"] == artifact
    assert tags["rayboot.onnx_sha256"] == hashlib.sha256(Path(stored).read_bytes()).hexdigest()
    properties = {entry.key: entry.value for entry in onnx.load(stored).metadata_props}
    assert properties["rayboot.model"] == "models:/head/1"
    with pytest.raises(RequestError, match=r"models:/head/2: was registered without a run"):
        register_onnx("models:/head/2", tmp_path / "b.onnx", uri)
    with pytest.raises(RequestError, match="not in the registry"):
        register_onnx("builtin:base", tmp_path / "b.onnx", uri)
    assert not (tmp_path / "b.onnx").exists()
