"""Histograms of the page: counts, and where their bars and labels are drawn in SVG."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from rayboot.counts import describe_count

__all__ = ["HEIGHT", "WIDTH", "Bar", "Histogram", "Tick", "make_histogram"]

WIDTH, HEIGHT = 340, 170
"""Size of the drawing, in its own units."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 10, 26
"""Margins around the bars; the labels of the axes are in those to the left and below."""

_MAX_BINS, _MIN_BINS, _MAX_TICKS = 36, 10, 7

_BINS_PER_UNIT = {"degrees": (1.0, 0.5, 0.2, 0.1, 0.05), "fraction": (100.0, 50.0, 20.0, 10.0)}
"""Reciprocals of the widths that a bin may have, the finest first."""

Unit = Literal["degrees", "fraction"]


class Bar(NamedTuple):
    """A bar of a histogram: its place in the drawing, and its bin and count in words."""

    x: float
    y: float
    width: float
    height: float
    label: str


class Tick(NamedTuple):
    """A label of an axis, and its position along that axis in the drawing."""

    position: float
    label: str


class Histogram(NamedTuple):
    """A histogram.

    Attributes:
        title: what is counted.
        summary: median and range, a sentence.
        bars: the bars of the bins that are not empty.
        x_ticks: labels of the horizontal axis.
        y_ticks: labels of the vertical axis, which are counts.
    """

    title: str
    summary: str
    bars: Sequence[Bar]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]


def make_histogram(title: str, noun: str, values: np.ndarray, unit: Unit) -> Histogram | None:
    """Returns the histogram of values, or None where not one of them is finite.

    Args:
        title: what is counted.
        noun: what has a value, in the singular.
        values: (N,) float; values that are not finite are left out and counted in the summary.
        unit: ``degrees``, of which left and right are to be compared, so that zero is in the middle
            of the axis; or ``fraction``, from 0 to 1.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return None
    describe = _FORMATS[unit]
    lowest, median, highest = np.quantile(finite, [0, 0.5, 1]).tolist()
    multiples, edges = _choose_edges(lowest, highest, unit)
    counts = np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0].tolist()
    ticks = _count_ticks(max(counts))
    top = ticks[-1]
    summary = f"Median {describe(median)}, from {describe(lowest)} to {describe(highest)}"
    if num_missing := len(values) - len(finite):
        summary += f"; {describe_count(num_missing, noun, 'has', 'have')} no value"
    return Histogram(
        title,
        f"{summary}.",
        _place_bars(counts, edges, top, noun, describe),
        _place_ticks(multiples, edges, describe),
        [Tick(_y(count, top), f"{count:,}") for count in ticks],
    )


def _choose_edges(lowest: float, highest: float, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edges of the bins, as integer multiples of their width and as values."""
    is_signed = unit == "degrees"
    if is_signed:
        highest = max(abs(lowest), abs(highest))
        lowest = -highest
    per_unit = next(
        (n for n in _BINS_PER_UNIT[unit] if (highest - lowest) * n <= _MAX_BINS - 2),
        _BINS_PER_UNIT[unit][-1],
    )
    last = math.floor(highest * per_unit) + 1
    first = -last if is_signed else math.floor(lowest * per_unit)
    if not is_signed:
        last = min(last, int(per_unit))
    # Few bins would be drawn as few wide bars.
    while last - first < _MIN_BINS:
        first -= 1
        last += is_signed
    multiples = np.arange(first, last + 1)
    return multiples, multiples / per_unit


def _count_ticks(highest: int) -> list[int]:
    """Returns round counts from 0 to the first that is not below the highest count."""
    steps = (n * 10**power for power in range(20) for n in (1, 2, 5))
    step = next(step for step in steps if 4 * step >= highest)
    return list(range(0, highest + step, step))


def _place_bars(
    counts: Sequence[int],
    edges: np.ndarray,
    top: int,
    noun: str,
    describe: Callable[[float], str],
) -> list[Bar]:
    bars = []
    for count, low, high in zip(counts, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            left, right, y = _x(low, edges), _x(high, edges), _y(count, top)
            label = f"{describe(low)} to {describe(high)}: {describe_count(count, noun)}"
            bars.append(Bar(left + 0.5, y, right - left - 1, HEIGHT - _BOTTOM - y, label))
    return bars


def _place_ticks(
    multiples: np.ndarray, edges: np.ndarray, describe: Callable[[float], str]
) -> list[Tick]:
    """Returns labels of some edges, zero among them where it is one."""
    step = next(n for n in (1, 2, 5, 10, 20, 50) if len(edges) / n <= _MAX_TICKS)
    return [Tick(_x(edge, edges), describe(edge)) for edge in edges[multiples % step == 0].tolist()]


def _x(value: float, edges: np.ndarray) -> float:
    fraction = (value - edges[0]) / (edges[-1] - edges[0])
    return round(float(_LEFT + fraction * (WIDTH - _LEFT - _RIGHT)), 2)


def _y(count: int, top: int) -> float:
    height = HEIGHT - _TOP - _BOTTOM
    # A bar of one face among thousands is still seen.
    return round(HEIGHT - _BOTTOM - max(height * count / top, 1.0 if count else 0.0), 2)


def _format_deg(value: float) -> str:
    rounded = round(value)
    return f"{rounded:+d}°".replace("-", "−") if rounded else "0°"


def _format_fraction(value: float) -> str:
    return f"{value:.2f}"


_FORMATS: dict[Unit, Callable[[float], str]] = {
    "degrees": _format_deg,
    "fraction": _format_fraction,
}
