import numpy as np
import pytest
import torch

from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.surface_error import surface_errors
from rayboot.train.training_config import OptimizerConfig

SHAPE = (16, 32, 32)
TINY = VRNConfig.compact().replace(
    resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
)
CONFIG = OptimizerConfig(batch_size=4, precision="float32")


class Slab(VRN):
    """Predicts the same slab for every image."""

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        logits = torch.full((len(images), *SHAPE), -9.0)
        logits[:, 4:8, 8:24, 8:24] = 9.0
        return logits if raw else self.occupancy(logits)


def slab(last: int) -> np.ndarray:
    volume = np.zeros(SHAPE, bool)
    volume[4:last, 8:24, 8:24] = True
    return volume


def store(samples: list[tuple[float, int]]) -> SampleStore:
    image = np.zeros((32, 32, 3), np.uint8)
    slabs = [
        Sample(image, pack_occupancy(slab(last)), np.eye(3, 4), yaw_deg=yaw)
        for yaw, last in samples
    ]
    return SampleStore(slabs, SHAPE, VRN(TINY).decode)


def test_errors_are_computed_by_band_of_yaw() -> None:
    # Two slices are a pixel: the surface of a slab twice as thick is up to two pixels away.
    errors = surface_errors(Slab(TINY), store([(-10, 8), (5, 8), (40, 12), (-75, 12)]), CONFIG)
    assert set(errors) == {"val_nme/0_to_30", "val_nme/30_to_60", "val_nme/60_to_90"}
    assert errors["val_nme/0_to_30"] == pytest.approx(0.0, abs=1e-3)
    assert errors["val_nme/30_to_60"] == errors["val_nme/60_to_90"]
    assert 2 < errors["val_nme/60_to_90"] < 100 * 2 / (0.29 * 32)


def test_bands_without_a_face_are_left_out() -> None:
    assert list(surface_errors(Slab(TINY), store([(45, 8)]), CONFIG)) == ["val_nme/30_to_60"]
    assert surface_errors(Slab(TINY), store([(45, 4)]), CONFIG) == {}
