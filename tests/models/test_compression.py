import numpy as np
import pytest
import torch

from rayboot.geometry.volume import coarsen
from rayboot.models import VRN
from rayboot.models.compression import coarsen_volumes, pack_bits, pack_on_device
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def volumes() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((2, 9, 8, 16), np.float32))


@pytest.mark.parametrize("device", DEVICES)
def test_packed_bits_equal_numpys(volumes: torch.Tensor, device: str) -> None:
    bits = pack_bits(volumes.to(device), 0.3).cpu().numpy()
    assert bits.tobytes() == np.packbits(volumes.numpy() >= 0.3, axis=-1).tobytes()


def test_bits_are_packed_with_operations_of_any_device(volumes: torch.Tensor) -> None:
    assert torch.equal(pack_on_device(volumes >= 0.3), pack_bits(volumes, 0.3))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", [0, 1, 2, 3])
def test_coarse_volumes_are_means_of_cells(
    volumes: torch.Tensor, cell: int, dtype: torch.dtype, device: str
) -> None:
    cells = coarsen_volumes(volumes.to(device, dtype), cell).cpu().numpy()
    for actual, volume in zip(cells, volumes.to(dtype).float().numpy(), strict=True):
        expected = coarsen(volume, cell)
        assert actual.shape == expected.shape
        tolerance = 0.51 if dtype == torch.float32 else 1.5
        assert np.abs(actual - 255 * expected).max() < tolerance


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compressed_predictions_equal_the_volumes(tiny: VRN, precision: str) -> None:
    images = np.random.default_rng(5).integers(0, 256, (7, 32, 32, 3), np.uint8)
    predictor = Predictor(tiny, InferenceConfig(precision=precision), batch_size=4)
    volumes = predictor.predict(images)
    bits, cells, targets, columns = predictor.predict_compressed(images, 0.5, 1)
    assert bits.shape == (7, 12, 32, 4)
    assert (bits != np.packbits(volumes >= 0.5, axis=-1)).mean() < 0.01
    for actual, volume in zip(cells, volumes, strict=True):
        assert np.abs(actual / 255 - coarsen(volume, 1)).max() < 0.01
    single = predictor.predict_compressed(images[5:6], 0.5, 1)
    assert single.bits[0].tobytes() == bits[5].tobytes()
    assert single.cells[0].tobytes() == cells[5].tobytes()
    assert targets == [None] * 7
    assert columns is not None and columns.shape == (7, 3, 32, 32)
    # A column is occupied where its largest logit is positive.
    assert ((columns[:, 2] > 0) != (volumes.max(axis=1) > 0.5)).mean() < 0.01
