from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rayboot.models import VRN
from rayboot.models.network_config import InferenceConfig, Precision
from rayboot.models.precision import autocast, resolve_precision
from rayboot.models.predictor import Predictor

CPU = torch.device("cpu")
PLAIN = InferenceConfig(precision="float32", channels_last=False)
FAST = InferenceConfig(precision="bfloat16", channels_last=True)


def draw_images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, size, size, 3), np.uint8)


def test_precisions_are_resolved() -> None:
    assert resolve_precision(CPU, "float32") == torch.float32
    assert resolve_precision(CPU, "bfloat16") == torch.bfloat16
    assert resolve_precision(CPU, "auto") in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(("major", "dtype"), [(7, torch.float32), (8, torch.bfloat16)])
def test_auto_does_not_choose_emulated_bfloat16(
    monkeypatch: pytest.MonkeyPatch, major: int, dtype: torch.dtype
) -> None:
    # A V100 (7.0) emulates the arithmetic, an A100 (8.0) has it.
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda _device: SimpleNamespace(major=major)
    )
    monkeypatch.setattr("torch.cuda._check_bf16_tensor_supported", lambda _device: True)
    assert torch.cuda.is_bf16_supported()
    assert resolve_precision(torch.device("cuda"), "auto") == dtype


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_convolutions_run_in_the_configured_precision(
    precision: Precision, dtype: torch.dtype
) -> None:
    convolution = torch.nn.Conv2d(3, 4, 1)
    with autocast(CPU, precision):
        assert convolution(torch.rand(1, 3, 8, 8)).dtype == dtype
    assert convolution.weight.dtype == torch.float32


def test_fast_inference_stays_close_to_float32(tiny: VRN) -> None:
    images = draw_images(8, 32)
    exact = Predictor(tiny, PLAIN, batch_size=4).predict(images)
    fast = Predictor(tiny, FAST, batch_size=4).predict(images)
    assert fast.dtype == np.float32
    assert exact.std() > 0.05, "a flat volume would hide any difference"
    difference = np.abs(fast - exact)
    # bfloat16 has 8 significant bits: an error of 0.4 % per layer, which accumulates.
    assert 0 < difference.max() < 0.05
    assert difference.mean() < 0.005


def test_channels_last_alone_is_exact_up_to_float32(tiny: VRN) -> None:
    images = draw_images(4, 32)
    exact = Predictor(tiny, PLAIN, batch_size=4).predict(images)
    channels_last = Predictor(tiny, InferenceConfig(precision="float32"), batch_size=4).predict(
        images
    )
    np.testing.assert_allclose(channels_last, exact, atol=1e-5)


@pytest.mark.gpu
def test_the_compiled_network_stays_close_on_a_gpu(tiny: VRN) -> None:
    images = draw_images(6, 32)
    exact = Predictor(tiny, PLAIN, batch_size=4).predict(images)
    config = InferenceConfig(precision="bfloat16", compile=True)
    fast = Predictor(tiny.to("cuda"), config, batch_size=4).predict(images)
    assert np.abs(fast - exact).max() < 0.05
