"""Networks of every kind as ONNX; the shipped ones are in tests/integration/test_onnx.py."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.geometry.head_model import load_head_model
from rayboot.models import (
    HeadConfig,
    NetworkConfig,
    Reconstructor,
    UNetConfig,
    VRNConfig,
    make_network,
)
from rayboot.models.head_regressor import HeadPoints, head_landmarks, pack_head
from rayboot.models.onnx_check import MAX_SURFACE_ERROR, check_onnx, draw_head
from rayboot.models.onnx_export import export_onnx, exportable, output_names

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

CONFIGS = [
    UNetConfig(resolution=32, slices=8, channels=(16, 16)),
    VRNConfig(
        resolution=32,
        slices=8,
        stem_channels=4,
        stem_bottleneck=4,
        channels=8,
        num_modules=1,
        levels=1,
        upper_blocks=1,
        deepest_blocks=1,
    ),
    HeadConfig(resolution=32, slices=24, channels=(16, 16), features=16),
]


def make(config: NetworkConfig) -> Reconstructor:
    torch.manual_seed(0)
    network = make_network(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that volumes have a surface
    return network


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_onnx_runtime_gives_what_pytorch_gives(config: NetworkConfig, tmp_path: Path) -> None:
    network, path = make(config), tmp_path / "network.onnx"
    export_onnx(network, path, {"rayboot.model": "a name"})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == list(output_names(network))
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]
    # The number of images is free.
    for count in (1, 3):
        images = torch.rand(count, 3, 32, 32, generator=torch.manual_seed(count))
        with torch.no_grad():
            expected = exportable(network)(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        results = session.run(None, {"images": images.numpy()})
        for result, reference in zip(results, expected, strict=True):
            assert result.shape == tuple(reference.shape) and result.dtype == np.float32
            assert np.allclose(result, reference.numpy(), rtol=1e-5, atol=1e-4)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties["rayboot.model"] == "a name"
    assert type(config)(**json.loads(properties["rayboot.config"])) == config
    # Exporting leaves nothing behind that would disturb the network itself.
    assert network(torch.rand(1, 3, 32, 32), raw=True).requires_grad


def test_a_file_of_another_network_is_noticed(tmp_path: Path) -> None:
    network, path = make(CONFIGS[2]), tmp_path / "head.onnx"
    export_onnx(network, path, {})
    assert check_onnx(network, path).surface_px < 1e-3
    with torch.no_grad():
        network.parameters_of[-1].bias[-1] += 0.05  # type: ignore[index, union-attr]
    assert check_onnx(network, path).surface_px > MAX_SURFACE_ERROR


def test_points_of_a_head_are_those_of_the_model() -> None:
    parameters = torch.randn(2, 104, generator=torch.manual_seed(1))
    parameters[:, -12:] += torch.eye(3, 4).flatten() * 20
    vertices, landmarks = HeadPoints()(parameters)
    model = load_head_model()
    assert vertices.shape == (2, len(model.front), 3)
    for row, points in zip(parameters.numpy(), landmarks.numpy(), strict=True):
        assert points == pytest.approx(head_landmarks(pack_head(row)), abs=1e-3)


def test_a_drawn_head_turns_with_its_yaw() -> None:
    front, right = draw_head(0, 96).astype(int), draw_head(40, 96).astype(int)
    face = (front != front[0, 0]).any(axis=2)
    columns = np.flatnonzero(face.any(axis=0))
    # The head is in the middle of the crop, about as wide as a face in it.
    assert columns.mean() == pytest.approx(47.5, abs=4) and 40 < np.ptp(columns) < 80
    assert (front != right).any(axis=2).mean() > 0.1
