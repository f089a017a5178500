import re

import numpy as np
import pytest

from rayboot.pipeline.preview.histograms import HEIGHT, WIDTH, Histogram, Unit, make_histogram


def counts(histogram: Histogram) -> list[int]:
    return [int(re.findall(r": ([0-9,]+) ", bar.label)[0]) for bar in histogram.bars]


@pytest.mark.parametrize(
    ("unit", "low", "high"), [("degrees", -70, 25), ("fraction", 0.4, 1), ("degrees", 3, 3.2)]
)
@pytest.mark.parametrize("num_values", [1, 7, 900])
def test_every_value_is_in_one_bar(unit: Unit, low: float, high: float, num_values: int) -> None:
    values = np.random.default_rng(0).uniform(low, high, num_values)
    histogram = make_histogram("title", "face", values, unit)
    assert histogram is not None
    assert sum(counts(histogram)) == num_values
    for bar in histogram.bars:
        assert bar.x > 0 and bar.x + bar.width < WIDTH
        assert bar.y > 0 and bar.height > 0 and bar.y + bar.height < HEIGHT
    tallest = max(histogram.bars, key=lambda bar: bar.height)
    assert counts(histogram)[list(histogram.bars).index(tallest)] == max(counts(histogram))
    for ticks in (histogram.x_ticks, histogram.y_ticks):
        assert 2 <= len(ticks) <= 7
        assert len({tick.label for tick in ticks}) == len(ticks)


def test_bars_stand_where_their_values_are() -> None:
    histogram = make_histogram("title", "face", np.array([0.5, 0.5, 0.9]), "fraction")
    assert histogram is not None
    first, second = histogram.bars
    assert [bar.label for bar in histogram.bars] == [
        "0.50 to 0.52: 2 faces",
        "0.90 to 0.92: 1 face",
    ]
    assert first.height == pytest.approx(2 * second.height, abs=0.1)
    position = {tick.label: tick.position for tick in histogram.x_ticks}
    assert first.x == pytest.approx(position["0.50"], abs=1)
    assert second.x == pytest.approx(position["0.90"], abs=1)


def test_left_and_right_are_drawn_symmetrically() -> None:
    histogram = make_histogram("title", "view", np.array([-40.0, -40.0, 10.0]), "degrees")
    assert histogram is not None
    labels = [tick.label for tick in histogram.x_ticks]
    assert "0°" in labels and labels[0] == labels[-1].replace("+", "−")
    zero = next(tick for tick in histogram.x_ticks if tick.label == "0°")
    ends = [histogram.x_ticks[0].position, histogram.x_ticks[-1].position]
    assert zero.position == pytest.approx(float(np.mean(ends)), abs=0.1)
    assert histogram.summary == "Median −40°, from −40° to +10°."


def test_the_ends_of_the_range_are_counted() -> None:
    ends = np.array([0.0, 1.0], np.float32)
    histogram = make_histogram("title", "face", ends, "fraction")
    assert histogram is not None and counts(histogram) == [1, 1]


def test_missing_values_are_counted() -> None:
    values = np.array([0.5, np.nan, np.nan])
    histogram = make_histogram("title", "face", values, "fraction")
    assert histogram is not None
    assert histogram.summary.endswith("; 2 faces have no value.")
    assert make_histogram("title", "face", values[1:], "fraction") is None
