import numpy as np
import pytest

from rayboot.train.loop import ious
from rayboot.train.sample_store import SampleStore
from rayboot.train.training_config import FinetuneConfig, OptimizerConfig
from rayboot.train.view_agreement import filter_views, weight_views
from tests.train.test_loop import CONFIG, SHAPE, disc_samples, fresh


def test_those_that_agree_least_are_left_out() -> None:
    agreement = np.array([0.9, 0.2, 0.8, 0.4, 0.7])
    kept, weights = weight_views(agreement, 0.4, 0.0)
    assert kept.tolist() == [True, False, True, False, True]
    assert weights.tolist() == [1.0] * 5
    kept, weights = weight_views(agreement, 0.0, 2.0)
    assert kept.all()
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] / weights[3] == pytest.approx((0.9 / 0.4) ** 2, rel=1e-5)


def test_photos_stay_and_views_are_sifted() -> None:
    discs = disc_samples(10)
    own = np.arange(10) % 5 == 0
    store = discs.take(np.arange(10))
    store.is_source[:] = own
    network = fresh(CONFIG).network
    config = FinetuneConfig(
        data="", model="", discard_fraction=0.25, agreement_power=1.0, optimizer=CONFIG
    )
    sifted = filter_views(network, store, config)
    assert (len(sifted), sifted.is_source.sum()) == (8, 2)
    batch = sifted.read(np.arange(8))
    assert batch.weights is not None
    assert np.all(batch.weights[sifted.is_source] == 1)
    assert batch.weights[~sifted.is_source].mean() == pytest.approx(1.0, rel=1e-5)
    views = np.flatnonzero(~own)
    agreement = ious(network, store, views, CONFIG)
    left = views[np.sort(np.argsort(agreement)[2:])]
    assert np.array_equal(
        batch.images, store.read(np.sort(np.concatenate([left, np.flatnonzero(own)]))).images
    )


def test_nothing_is_measured_where_nothing_is_asked() -> None:
    store = disc_samples(3)
    config = FinetuneConfig(data="", model="", optimizer=OptimizerConfig())
    assert filter_views(fresh(CONFIG).network, store, config) is store
    assert isinstance(store, SampleStore) and store.shape == SHAPE
