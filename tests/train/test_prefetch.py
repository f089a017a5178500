import numpy as np
import pytest
import torch

from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.prefetch import DeviceBatch, read_ahead
from rayboot.train.sample_store import Sample, SampleStore
from tests.models.streams import POISON, PoisonedStream

SHAPE = (16, 32, 32)
CPU = torch.device("cpu")
NETWORK = VRN(
    VRNConfig.compact().replace(
        resolution=32, slices=16, channels=16, stem_channels=8, stem_bottleneck=4
    )
)


@pytest.fixture
def store() -> SampleStore:
    rng = np.random.default_rng(3)
    samples = []
    for index in range(10):
        volume = np.zeros(SHAPE, bool)
        volume[4:12, 6:20, 8 : 14 + index] = True
        image = rng.integers(0, 256, (32, 32, 3), np.uint8)
        transform = np.eye(3, 4)
        transform[:, :3] = rotation_yaw_pitch(0.1 * index, 0.0)
        samples.append(Sample(image, pack_occupancy(volume), transform, is_source=index % 2 == 0))
    weights = np.linspace(0.5, 1.5, 10, dtype=np.float32)
    return SampleStore(samples, SHAPE, NETWORK.decode).take(np.arange(10), weights)


def batches_of(store: SampleStore) -> list[DeviceBatch]:
    indices = [np.array([0, 1, 2, 3]), np.array([9, 4, 5, 6]), np.array([7, 8])]
    return [batch for batch, _ in read_ahead(NETWORK, store, indices, CPU)]


def test_batches_come_in_order_and_transformed(store: SampleStore) -> None:
    first, second, last = batches_of(store)
    assert [len(batch.images) for batch in (first, second, last)] == [4, 4, 2]
    assert first.is_source.tolist() == [True, False, True, False]
    for position, index in enumerate([9, 4, 5, 6]):
        batch = store.read(np.array([index]))
        expected = NETWORK.transform_targets(torch.from_numpy(batch.targets), batch.transforms)
        assert torch.equal(second.targets[position], expected[0])
        image = torch.from_numpy(batch.images[0]).permute(2, 0, 1) / 255
        assert torch.allclose(second.images[position], image)
        assert second.weights is not None
        assert batch.weights is not None and second.weights[position] == float(batch.weights[0])


def test_no_result_of_the_side_stream_is_used_before_it_is_complete(
    store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = batches_of(store)
    monkeypatch.setattr("rayboot.train.prefetch.open_side_stream", lambda _: PoisonedStream())
    for batch, other in zip(batches_of(store), expected, strict=True):
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.targets, other.targets)
        assert batch.weights is not None and other.weights is not None
        assert torch.equal(batch.weights, other.weights)


def test_the_side_stream_of_the_tests_withholds_results() -> None:
    stream = PoisonedStream()
    with stream.queued():
        doubled = torch.ones(3) * 2
    ready = stream.mark()
    assert torch.equal(doubled, torch.full((3,), float(POISON)))
    ready.before_next(doubled)
    assert torch.equal(doubled, torch.full((3,), 2.0))
