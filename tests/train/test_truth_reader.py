from pathlib import Path

import numpy as np
import pytest

from rayboot.errors import RequestError
from rayboot.models import VRN, VRNConfig
from rayboot.train.sample_store import Batch, SampleStore
from rayboot.train.training_config import PretrainConfig
from rayboot.train.truth_reader import read_truth_samples

TINY = VRNConfig.compact().replace(channels=16, stem_channels=8, stem_bottleneck=4)


def config(data: str, output: Path) -> PretrainConfig:
    return PretrainConfig(data=data, output=str(output), val_fraction=0.3)


def whole(store: SampleStore) -> Batch:
    return store.read(np.arange(len(store)))


def test_every_photo_is_in_one_split(synthetic_set: str, tmp_path: Path) -> None:
    train, val = read_truth_samples(config(synthetic_set, tmp_path), VRN(TINY))
    assert len(train) + len(val) == 24
    assert len(val) > 0
    assert train.shape == (96, 96, 96)
    # The set has faces at 0, 10, 45 and 75 degrees.
    assert np.abs(train.yaws_deg).max() > 60


@pytest.mark.parametrize("num_workers", [2, 3])
def test_workers_share_the_photos(synthetic_set: str, tmp_path: Path, num_workers: int) -> None:
    run, network = config(synthetic_set, tmp_path), VRN(TINY)
    parts = [read_truth_samples(run, network, rank, num_workers) for rank in range(num_workers)]
    for all_samples, stores in zip(
        read_truth_samples(run, network), zip(*parts, strict=True), strict=True
    ):
        assert max(map(len, stores)) - min(map(len, stores)) <= 1
        expected, batches = whole(all_samples), [whole(store) for store in stores]
        for name in ("images", "targets"):
            joined = np.concatenate([getattr(batch, name) for batch in batches])
            assert np.array_equal(joined, getattr(expected, name))


def test_more_workers_than_photos_are_refused(synthetic_set: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no train photo for worker 0 of 60"):
        read_truth_samples(config(synthetic_set, tmp_path), VRN(TINY), 0, 60)
