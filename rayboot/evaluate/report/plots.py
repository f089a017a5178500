"""Plots of errors on one set, as PNG bytes; a model has one colour and marker in all of them."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from rayboot.evaluate.metrics.statistics import Interval, mean_interval
from rayboot.evaluate.results import FaceError, name_band, select_band

__all__ = [
    "cumulative_shares",
    "group_by_yaw",
    "model_colors",
    "plot_by_band",
    "plot_cumulative",
    "plot_nme_against_yaw",
    "plot_yaw_histogram",
    "png_of",
    "round_up",
]

_COLORS = ("#5b5b5b", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, apart for every colour vision; the first model, what others are compared with,
is grey."""

_MARKERS, _LINES = "osD^vPX", ("--", "-", "-.", ":")
_FEW = 15
"""So many different yaws, three faces or more of each, are turns that were chosen, not poses that
were met."""

_LEGEND_WIDTH, _LEGEND_GAP = 75, 8
"""Letters that fit beside each other above a plot, and those that a line's sample takes."""

_ERROR = "NME after ICP, %"
_FACES = "share of faces, %"

Errors = Mapping[str, Sequence[FaceError]]


def model_colors(models: Sequence[str]) -> dict[str, str]:
    """A colour (#rrggbb) for every model, by its place; after seven they repeat."""
    return {model: _color(place) for place, model in enumerate(models)}


def plot_nme_against_yaw(errors: Errors, *, signed: bool = False) -> bytes:
    """Mean error against yaw with 95 % intervals, one line a model.

    Args:
        errors: by the name of the model; yaws are grouped to the nearest 15 degrees, or, where
            there are but a few, taken as they are.
        signed: left and right apart; else against |yaw|.
    """
    figure, axis = _axes()
    drawn: dict[str, Artist] = {}
    for place, (name, faces) in enumerate(_of_all(errors).items()):
        groups = group_by_yaw(faces, signed=signed)
        at, means = list(groups), [i.mean for i in groups.values()]
        color, line = _color(place), _LINES[place % len(_LINES)]
        marker = _MARKERS[place % len(_MARKERS)]
        (drawn[name],) = axis.plot(at, means, color=color, linestyle=line, marker=marker, ms=5)
        low, high = ([getattr(i, side) for i in groups.values()] for side in ("low", "high"))
        axis.fill_between(at, low, high, color=color, alpha=0.16, linewidth=0)
    _yaw_axis(axis, signed=signed)
    axis.set_ylabel(_ERROR)
    axis.set_ylim(0, 1.04 * axis.get_ylim()[1])
    _legend(axis, drawn)
    return png_of(figure)


def _of_all(errors: Errors) -> dict[str, list[FaceError]]:
    """Only the faces that every model has a number for, as in tables."""
    values = np.array([[face.nme_icp for face in faces] for faces in errors.values()])
    kept = np.flatnonzero(np.isfinite(values).all(axis=0)).tolist()
    return {name: [faces[place] for place in kept] for name, faces in errors.items()}


def group_by_yaw(faces: Sequence[FaceError], *, signed: bool = False) -> dict[float, Interval]:
    """Mean error in % after ICP by group of yaw, groups in order.

    A few different yaws are groups of their own; more are grouped to the nearest 15 degrees.
    """
    kept = [face for face in faces if np.isfinite([face.yaw_deg, face.nme_icp]).all()]
    yaw = np.array([face.yaw_deg if signed else abs(face.yaw_deg) for face in kept])
    value = np.array([100 * face.nme_icp for face in kept])
    different = len(np.unique(np.abs(yaw.round(1))))
    chosen = different <= min(_FEW, len(yaw) / 3)
    groups = yaw.round(1) if chosen else np.rint(yaw / 15) * 15
    # Zero added: there is no group of -0.
    return {float(g) + 0.0: mean_interval(value[groups == g]) for g in np.unique(groups)}


def plot_yaw_histogram(errors: Sequence[FaceError]) -> bytes:
    """How many faces of a set look where, in bins of 10 degrees."""
    figure, axis = _axes()
    yaw = np.array([face.yaw_deg for face in errors if np.isfinite(face.yaw_deg)])
    reach = 10 * math.ceil(max(float(np.abs(yaw).max(initial=0)), 1e-9) / 10)
    low = -reach if (yaw < 0).any() else 0
    # A bin's middle is a multiple of ten, so that turns of 20, 40, 60 stand in the middle.
    edges = np.arange(low - 5, reach + 10, 10)
    axis.hist(yaw, edges.tolist(), color="#56789a", rwidth=0.94)
    _yaw_axis(axis, signed=low < 0)
    axis.set_ylabel("faces")
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    return png_of(figure)


def plot_cumulative(errors: Errors) -> bytes:
    """Share of faces below an error, one curve a model.

    Of all faces that any model has a number for; one that a model failed on lies below none of
    its errors.
    """
    figure, axis = _axes()
    drawn: dict[str, Artist] = {}
    shares = cumulative_shares(errors)
    for place, (name, (found, share)) in enumerate(shares.items()):
        color, line = _color(place), _LINES[place % len(_LINES)]
        (drawn[name],) = axis.step(found, share, where="post", color=color, linestyle=line)
    # The last hundredth may lie far out.
    ends = [float(np.quantile(found, 0.99)) for found, _ in shares.values()]
    axis.set_xlim(0, round_up(max(ends)))
    axis.set_ylim(0, 100)
    axis.set_xlabel(_ERROR)
    axis.set_ylabel(_FACES)
    _legend(axis, drawn)
    return png_of(figure)


def cumulative_shares(errors: Errors) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By model, errors (N + 1,) in % in order, from 0 on, and the % of faces up to each."""
    values = np.array([[100 * face.nme_icp for face in faces] for faces in errors.values()])
    values = values[:, np.isfinite(values).any(axis=0)]
    count = max(values.shape[1], 1)
    found = {n: np.sort(row[np.isfinite(row)]) for n, row in zip(errors, values, strict=True)}
    return {
        name: (np.concatenate([[0.0], row]), np.arange(len(row) + 1) * (100 / count))
        for name, row in found.items()
    }


def plot_by_band(errors: Errors, bands: Sequence[tuple[float, float]]) -> bytes:
    """Mean error by band of |yaw| with 95 % intervals, a bar a model; faces that all measured.

    Args:
        errors: by model, in the same order of faces.
        bands: (low, high) of |yaw|, degrees, both ends included; empty ones are left out.
    """
    figure, axis = _axes()
    shown: list[tuple[str, list[list[float]]]] = []
    for low, high in bands:
        chosen = [select_band(faces, low, high) for faces in _of_all(errors).values()]
        if chosen[0]:
            values = [[100 * face.nme_icp for face in faces] for faces in chosen]
            shown.append((f"{name_band(low, high)}\n{len(chosen[0])} faces", values))
    wide = 0.82 / len(errors)
    drawn: dict[str, Artist] = {}
    for place, name in enumerate(errors):
        intervals = [mean_interval(np.array(values[place])) for _, values in shown]
        means = np.array([i.mean for i in intervals])
        reach = np.array([[i.mean - i.low, i.high - i.mean] for i in intervals]).reshape(-1, 2)
        bars = axis.bar(
            np.arange(len(shown)) + (place - (len(errors) - 1) / 2) * wide,
            means,
            0.94 * wide,
            yerr=reach.T,
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"},
            color=_color(place),
        )
        # A legend takes the whole set of bars, whatever matplotlib's types say of it.
        drawn[name] = cast(Artist, bars)
    axis.set_xticks(np.arange(len(shown)), [name for name, _ in shown])
    axis.set_xlabel("|yaw|, degrees")
    axis.set_ylabel(_ERROR)
    axis.grid(visible=False, axis="x")
    axis.set_ylim(0, 1.04 * axis.get_ylim()[1])
    _legend(axis, drawn)
    return png_of(figure)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.6), dpi=150, layout="constrained")
    axis = figure.add_subplot()
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _yaw_axis(axis: Axes, *, signed: bool) -> None:
    axis.set_xlabel("yaw, degrees (left of the viewer to right)" if signed else "|yaw|, degrees")
    axis.xaxis.set_major_locator(MultipleLocator(30 if signed else 15))


def _color(place: int) -> str:
    return _COLORS[place % len(_COLORS)]


def _legend(axis: Axes, drawn: Mapping[str, Artist]) -> None:
    """Above the plot; names as they are: a dollar sign begins no formula, no underscore hides."""
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    columns = _LEGEND_WIDTH // (max(map(len, drawn)) + _LEGEND_GAP)
    legend = figure.legend(
        list(drawn.values()),
        list(drawn),
        loc="outside upper left",
        ncols=max(1, min(len(drawn), columns)),
        frameon=False,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 and 10 times a power of ten; where a scale may end."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return power * next(step for step in steps if value <= step * power * (1 + 1e-9))


def png_of(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
