"""Plots of the errors on one dataset, as PNG bytes.

A model has the same colour and marker in all plots.
"""

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
    "assign_model_colors",
    "cumulative_fractions",
    "encode_png",
    "group_by_yaw",
    "plot_by_band",
    "plot_cumulative",
    "plot_nme_against_yaw",
    "plot_yaw_histogram",
    "round_up",
]

_COLORS = ("#5b5b5b", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which any colour vision distinguishes; the first model, the reference of
the others, is grey."""

_MARKERS, _LINES = "osD^vPX", ("--", "-", "-.", ":")

_MAX_CHOSEN_YAWS = 15
"""Up to this number of different yaws, with three faces or more each on average, the yaws are
assumed to be chosen rotations; more are poses of arbitrary photos."""

_LEGEND_WIDTH, _LEGEND_GAP = 75, 8
"""Width of a row of the legend above a plot, and of a line's sample in it, in letters."""

_ERROR = "NME after ICP, %"
_FACES = "share of faces, %"

Errors = Mapping[str, Sequence[FaceError]]


def assign_model_colors(models: Sequence[str]) -> dict[str, str]:
    """Returns a colour (#rrggbb) for every model, in order; after seven they repeat."""
    return {model: _color(index) for index, model in enumerate(models)}


def plot_nme_against_yaw(errors: Errors, *, signed: bool = False) -> bytes:
    """Plots the mean error against yaw with 95 % intervals, one line per model.

    Args:
        errors: Errors by model; yaws are grouped as in :func:`group_by_yaw`.
        signed: Whether left and right are separate; else the plot is against |yaw|.
    """
    figure, axis = _axes()
    drawn: dict[str, Artist] = {}
    for index, (name, faces) in enumerate(_measured_by_all(errors).items()):
        groups = group_by_yaw(faces, signed=signed)
        yaws, means = list(groups), [i.mean for i in groups.values()]
        color, line = _color(index), _LINES[index % len(_LINES)]
        marker = _MARKERS[index % len(_MARKERS)]
        (drawn[name],) = axis.plot(yaws, means, color=color, linestyle=line, marker=marker, ms=5)
        low, high = ([getattr(i, side) for i in groups.values()] for side in ("low", "high"))
        axis.fill_between(yaws, low, high, color=color, alpha=0.16, linewidth=0)
    _label_yaw_axis(axis, signed=signed)
    axis.set_ylabel(_ERROR)
    axis.set_ylim(0, 1.04 * axis.get_ylim()[1])
    _add_legend(axis, drawn)
    return encode_png(figure)


def _measured_by_all(errors: Errors) -> dict[str, list[FaceError]]:
    """Keeps the faces for which every model has an error, as in the tables."""
    values = np.array([[face.nme_icp for face in faces] for faces in errors.values()])
    kept = np.flatnonzero(np.isfinite(values).all(axis=0)).tolist()
    return {name: [faces[index] for index in kept] for name, faces in errors.items()}


def group_by_yaw(faces: Sequence[FaceError], *, signed: bool = False) -> dict[float, Interval]:
    """Returns the mean error after ICP, %, by group of yaw, groups in order.

    Yaws that were chosen, such as rotations of a data set, are groups of their own; others are
    grouped to the nearest 15 degrees. Faces without yaw or error are ignored.
    """
    kept = [face for face in faces if np.isfinite([face.yaw_deg, face.nme_icp]).all()]
    yaw = np.array([face.yaw_deg if signed else abs(face.yaw_deg) for face in kept])
    value = np.array([100 * face.nme_icp for face in kept])
    num_yaws = len(np.unique(np.abs(yaw.round(1))))
    chosen = num_yaws <= min(_MAX_CHOSEN_YAWS, len(yaw) / 3)
    groups = yaw.round(1) if chosen else np.rint(yaw / 15) * 15
    # Adding zero turns the group -0.0 into 0.0.
    return {float(g) + 0.0: mean_interval(value[groups == g]) for g in np.unique(groups)}


def plot_yaw_histogram(errors: Sequence[FaceError]) -> bytes:
    """Plots the number of faces by yaw, in bins of 10 degrees."""
    figure, axis = _axes()
    yaw = np.array([face.yaw_deg for face in errors if np.isfinite(face.yaw_deg)])
    max_yaw = 10 * math.ceil(max(float(np.abs(yaw).max(initial=0)), 1e-9) / 10)
    low = -max_yaw if (yaw < 0).any() else 0
    # Bins are centred at multiples of ten, so that rotations of 20, 40, 60 are in the middle.
    edges = np.arange(low - 5, max_yaw + 10, 10)
    axis.hist(yaw, edges.tolist(), color="#56789a", rwidth=0.94)
    _label_yaw_axis(axis, signed=low < 0)
    axis.set_ylabel("faces")
    axis.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    return encode_png(figure)


def plot_cumulative(errors: Errors) -> bytes:
    """Plots the fraction of faces below an error, one curve per model.

    The fraction is of all faces for which any model has an error; a face that a model failed on is
    below none of its errors.
    """
    figure, axis = _axes()
    drawn: dict[str, Artist] = {}
    curves = cumulative_fractions(errors)
    for index, (name, (values, percent)) in enumerate(curves.items()):
        color, line = _color(index), _LINES[index % len(_LINES)]
        (drawn[name],) = axis.step(values, percent, where="post", color=color, linestyle=line)
    # The largest hundredth may contain outliers.
    ends = [float(np.quantile(values, 0.99)) for values, _ in curves.values()]
    axis.set_xlim(0, round_up(max(ends)))
    axis.set_ylim(0, 100)
    axis.set_xlabel(_ERROR)
    axis.set_ylabel(_FACES)
    _add_legend(axis, drawn)
    return encode_png(figure)


def cumulative_fractions(errors: Errors) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the sorted errors (N + 1,), %, from 0 on, and the % of faces up to each, by model."""
    values = np.array([[100 * face.nme_icp for face in faces] for faces in errors.values()])
    values = values[:, np.isfinite(values).any(axis=0)]
    count = max(values.shape[1], 1)
    by_model = {n: np.sort(row[np.isfinite(row)]) for n, row in zip(errors, values, strict=True)}
    return {
        name: (np.concatenate([[0.0], row]), np.arange(len(row) + 1) * (100 / count))
        for name, row in by_model.items()
    }


def plot_by_band(errors: Errors, bands: Sequence[tuple[float, float]]) -> bytes:
    """Plots the mean error by band of |yaw| with 95 % intervals, one bar per model.

    Only faces for which every model has an error are included.

    Args:
        errors: Errors by model, all in the same order of faces.
        bands: Bounds (low, high) of |yaw|, degrees, both ends included; empty bands are left out.
    """
    figure, axis = _axes()
    shown: list[tuple[str, list[list[float]]]] = []
    for low, high in bands:
        chosen = [select_band(faces, low, high) for faces in _measured_by_all(errors).values()]
        if chosen[0]:
            values = [[100 * face.nme_icp for face in faces] for faces in chosen]
            shown.append((f"{name_band(low, high)}\n{len(chosen[0])} faces", values))
    bar_width = 0.82 / len(errors)
    drawn: dict[str, Artist] = {}
    for index, name in enumerate(errors):
        intervals = [mean_interval(np.array(values[index])) for _, values in shown]
        means = np.array([i.mean for i in intervals])
        whiskers = np.array([[i.mean - i.low, i.high - i.mean] for i in intervals]).reshape(-1, 2)
        bars = axis.bar(
            np.arange(len(shown)) + (index - (len(errors) - 1) / 2) * bar_width,
            means,
            0.94 * bar_width,
            yerr=whiskers.T,
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"},
            color=_color(index),
        )
        # matplotlib accepts a whole set of bars in a legend, but its type annotations do not.
        drawn[name] = cast(Artist, bars)
    axis.set_xticks(np.arange(len(shown)), [name for name, _ in shown])
    axis.set_xlabel("|yaw|, degrees")
    axis.set_ylabel(_ERROR)
    axis.grid(visible=False, axis="x")
    axis.set_ylim(0, 1.04 * axis.get_ylim()[1])
    _add_legend(axis, drawn)
    return encode_png(figure)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.6), dpi=150, layout="constrained")
    axis = figure.add_subplot()
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _label_yaw_axis(axis: Axes, *, signed: bool) -> None:
    axis.set_xlabel("yaw, degrees (left of the viewer to right)" if signed else "|yaw|, degrees")
    axis.xaxis.set_major_locator(MultipleLocator(30 if signed else 15))


def _color(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def _add_legend(axis: Axes, drawn: Mapping[str, Artist]) -> None:
    """Adds a legend above the plot, with names as they are.

    matplotlib would read a dollar sign as a formula and hide names that begin with an underscore.
    """
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
    """Rounds up to 1, 1.5, 2, 3, 4, 5, 6, 8 or 10 times a power of ten, for the end of a scale."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return power * next(step for step in steps if value <= step * power * (1 + 1e-9))


def encode_png(figure: Figure) -> bytes:
    """Returns the figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
