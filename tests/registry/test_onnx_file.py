from pathlib import Path

import pytest
import torch

from rayboot.errors import RaybootError, RequestError
from rayboot.models import HeadConfig, make_network, save_network
from rayboot.registry import onnx_file
from rayboot.registry.onnx_file import write_onnx

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
