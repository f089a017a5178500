from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import RequestError
from rayboot.geometry.volume import transform_volume
from rayboot.models import VRN, HeadRegressor, VRNConfig
from rayboot.train.sample_reader import num_source_copies, read_samples
from rayboot.train.training_config import FinetuneConfig
from tests.data.pair_sets import YAWS, face, plain_image, solid, transform_of, write_pairs

NUM_FACES = 6
NETWORK = VRN(VRNConfig.compact().replace(channels=8, stem_channels=4, stem_bottleneck=4))


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    uri = write_pairs(tmp_path / "pairs", [face(index) for index in range(NUM_FACES)])
    return FinetuneConfig(data=uri, model="builtin:compact")


def test_every_view_is_a_sample_with_its_own_target(config: FinetuneConfig) -> None:
    store = read_samples(config, NETWORK, "train")
    assert len(store) == 4 * len(YAWS)
    batch = store.read(np.arange(len(store)))
    volumes = NETWORK.transform_targets(torch.from_numpy(batch.targets), batch.transforms)
    train_faces = [index for index in range(NUM_FACES) if index % 3]
    expected = [(index, place) for index in train_faces for place in range(len(YAWS))]
    for (index, place), image, volume in zip(expected, batch.images, volumes, strict=True):
        assert np.array_equal(image, plain_image(10 * index + place))
        soft = transform_volume(solid(index).astype(np.float32), transform_of(YAWS[place]))
        # At the box's edges values tie with a half; everywhere else both agree.
        assert np.abs(soft[volume.numpy() != (soft >= 0.5)] - 0.5).max(initial=0.0) < 1e-4
        assert volume.any()


def test_workers_divide_the_samples(config: FinetuneConfig) -> None:
    parts = [read_samples(config, NETWORK, "train", rank, 2) for rank in range(2)]
    whole = read_samples(config, NETWORK, "train")
    assert [len(part) for part in parts] == [len(whole) // 2] * 2
    last = parts[1].read(np.array([0])).images
    assert np.array_equal(last, whole.read(np.array([len(whole) // 2])).images)
    with pytest.raises(RequestError, match=r"no val face for worker 0 of 9.*fewer workers"):
        read_samples(config, NETWORK, "val", 0, 9)


def test_unrotated_photos_are_mixed_in(config: FinetuneConfig) -> None:
    # As many as there are views: five copies of each face.
    store = read_samples(config.replace(source_fraction=0.5), NETWORK, "train")
    assert len(store) == 2 * 4 * len(YAWS)
    batch = store.read(np.array([len(YAWS)]))
    assert np.array_equal(batch.images[0], plain_image(201))
    assert np.array_equal(batch.transforms[0], np.eye(3, 4))


def test_unrotated_photos_are_repeated_as_often_as_required() -> None:
    counts = [num_source_copies(f"{i}.jpg", 1.3) for i in range(2000)]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.3, abs=0.05)
    assert counts == [num_source_copies(f"{i}.jpg", 1.3) for i in range(2000)]


def test_a_network_of_another_kind_is_refused_with_the_kind_of_the_pairs(
    config: FinetuneConfig,
) -> None:
    with pytest.raises(RequestError, match=r"of kind head, .* learns from occupancy"):
        read_samples(config, HeadRegressor(), "train")
