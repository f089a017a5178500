import numpy as np
import pytest

from rayboot.data.images import encode_image
from rayboot.errors import ShapeError
from rayboot.geometry.volume import pack_occupancy
from rayboot.train.samples import Sample, SampleStore

SHAPE = (6, 16, 16)


def volume(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < 0.5


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def test_batches_are_the_samples_asked_for() -> None:
    turn = np.arange(12.0).reshape(3, 4)
    samples = [
        Sample(image(0), pack_occupancy(volume(0))),
        Sample(encode_image(image(1), "png"), pack_occupancy(volume(1)), turn),
        Sample(image(2), pack_occupancy(volume(2))),
    ]
    batch = SampleStore(samples, SHAPE).read(np.array([1, 0]))
    assert np.array_equal(batch.images, np.stack([image(1), image(0)]))
    assert np.array_equal(np.unpackbits(batch.bits, axis=-1), np.stack([volume(1), volume(0)]))
    assert np.array_equal(batch.transforms, np.stack([turn, np.eye(3, 4)]))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(np.zeros((8, 8, 3), np.uint8), b""), "sample 1: image must be uint8"),
        (Sample(image(0), b"nothing"), "sample 1: its target"),
        (Sample(image(0), pack_occupancy(np.zeros((6, 16, 8), bool))), "sample 1: its target"),
    ],
)
def test_samples_of_another_size_are_refused(sample: Sample, message: str) -> None:
    store = SampleStore([Sample(image(0), pack_occupancy(volume(0))), sample], SHAPE)
    store.read(np.array([0]))
    with pytest.raises(ShapeError, match=message):
        store.read(np.array([1]))


def test_no_sample_is_no_store() -> None:
    with pytest.raises(ShapeError, match="empty"):
        SampleStore([], SHAPE)
