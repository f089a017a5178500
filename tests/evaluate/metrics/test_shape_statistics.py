import numpy as np
import pytest

from rayboot.errors import RequestError
from rayboot.evaluate.metrics.shape_statistics import compute_shape_statistics, measure_shapes
from rayboot.models import load_network
from rayboot.registry.resolve import resolve_model
from tests.evaluate.synthetic_crops import read_frontal_crops


def box(width: int) -> np.ndarray:
    volume = np.zeros((8, 16, 16), bool)
    volume[2:6, 4:12, :width] = True
    return volume


def test_equal_shapes_have_no_spread() -> None:
    statistics = compute_shape_statistics([box(8)] * 5, [1.0] * 5, [0.25] * 5)
    assert (statistics.spread, statistics.mirror, statistics.volume) == (0.0, 1.0, 0.25)


def test_spread_is_the_mean_disagreement_of_two_shapes() -> None:
    # Half of the boxes are twice as wide: different boxes disagree by the size of the smaller.
    shapes = [box(4), box(8)] * 50
    pairs = [
        (shapes[i] ^ shapes[j]).sum() / np.mean([shape.sum() for shape in shapes])
        for i in range(100)
        for j in range(i)
    ]
    statistics = compute_shape_statistics(shapes, [1.0] * 100, [0.1] * 100)
    assert statistics.spread == pytest.approx(np.mean(pairs))


def test_too_few_faces_are_refused() -> None:
    with pytest.raises(RequestError, match=r"at least 4 near-frontal faces.*got 3"):
        compute_shape_statistics([box(8)] * 3, [1.0] * 3, [0.1] * 3)


@pytest.fixture(scope="module")
def crops(synthetic_set: str) -> np.ndarray:
    return read_frontal_crops(synthetic_set)


def test_a_trained_network_distinguishes_faces_and_is_symmetric(crops: np.ndarray) -> None:
    statistics = measure_shapes(load_network(resolve_model("builtin:compact").path), crops)
    assert statistics.num_shapes == len(crops) >= 8
    assert statistics.spread > 0.01
    assert statistics.mirror > 0.9
    assert 0.05 < statistics.volume < 0.15
    # Crops of one face differ in nothing.
    alike = measure_shapes(
        load_network(resolve_model("builtin:compact").path), np.repeat(crops[:1], 6, axis=0)
    )
    assert alike.spread < 0.1 * statistics.spread
