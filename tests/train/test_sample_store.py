import numpy as np
import pytest

from rayboot.data.images import encode_image
from rayboot.errors import ShapeError
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.sample_store import Sample, SampleStore

SHAPE = (6, 16, 16)
TINY = VRNConfig.compact().replace(channels=8, stem_channels=4, stem_bottleneck=4)


def volume(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < 0.5


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def store_of(samples: list[Sample]) -> SampleStore:
    return SampleStore(samples, SHAPE, VRN(TINY).decode)


def test_a_batch_has_the_samples_of_its_indices() -> None:
    transform = np.arange(12.0).reshape(3, 4)
    samples = [
        Sample(image(0), pack_occupancy(volume(0))),
        Sample(encode_image(image(1), "png"), pack_occupancy(volume(1)), transform),
        Sample(image(2), pack_occupancy(volume(2))),
    ]
    batch = store_of(samples).read(np.array([1, 0]))
    assert np.array_equal(batch.images, np.stack([image(1), image(0)]))
    assert np.array_equal(np.unpackbits(batch.targets, axis=-1), np.stack([volume(1), volume(0)]))
    assert np.array_equal(batch.transforms, np.stack([transform, np.eye(3, 4)]))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(np.zeros((8, 8, 3), np.uint8), b""), "sample 1: image must be uint8"),
        (Sample(image(0), b"nothing"), "sample 1: a target"),
        (Sample(image(0), pack_occupancy(np.zeros((6, 16, 8), bool))), "sample 1: a target"),
    ],
)
def test_samples_of_another_size_are_refused(sample: Sample, message: str) -> None:
    store = store_of([Sample(image(0), pack_occupancy(volume(0))), sample])
    store.read(np.array([0]))
    with pytest.raises(ShapeError, match=message):
        store.read(np.array([1]))


def test_a_store_needs_a_sample() -> None:
    with pytest.raises(ShapeError, match="empty"):
        store_of([])
