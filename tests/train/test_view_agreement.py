import numpy as np
import pytest

from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from rayboot.train.validation import ious
from rayboot.train.view_agreement import filter_views, weight_views
from tests.train.test_loop import CONFIG, SHAPE, disc_samples, fresh


def test_views_of_lowest_agreement_are_discarded() -> None:
    agreement = np.array([0.9, 0.2, 0.8, 0.4, 0.7])
    kept, weights = weight_views(agreement, 0.4, 0.0)
    assert kept.tolist() == [True, False, True, False, True]
    assert weights.tolist() == [1.0] * 5
    kept, weights = weight_views(agreement, 0.0, 2.0)
    assert kept.all()
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] / weights[3] == pytest.approx((0.9 / 0.4) ** 2, rel=1e-5)


def test_views_are_filtered_and_photos_kept() -> None:
    discs = disc_samples(10)
    is_source = np.arange(10) % 5 == 0
    store = discs.take(np.arange(10))
    store.is_source[:] = is_source
    network = fresh(CONFIG).network
    config = FinetuneConfig(
        data="", model="", discard_fraction=0.25, agreement_power=1.0, optimizer=CONFIG
    )
    filtered = filter_views(network, store, config)
    assert (len(filtered), filtered.is_source.sum()) == (8, 2)
    batch = filtered.read(np.arange(8))
    assert batch.weights is not None
    assert np.all(batch.weights[filtered.is_source] == 1)
    assert batch.weights[~filtered.is_source].mean() == pytest.approx(1.0, rel=1e-5)
    views = np.flatnonzero(~is_source)
    agreement = ious(network, store, views, CONFIG)
    kept = views[np.sort(np.argsort(agreement)[2:])]
    assert np.array_equal(
        batch.images, store.read(np.sort(np.concatenate([kept, np.flatnonzero(is_source)]))).images
    )


def test_without_filter_the_store_is_unchanged() -> None:
    store = disc_samples(3)
    config = FinetuneConfig(data="", model="", optimizer=OptimizerConfig())
    assert filter_views(fresh(CONFIG).network, store, config) is store
    assert isinstance(store, SampleStore) and store.shape == SHAPE
