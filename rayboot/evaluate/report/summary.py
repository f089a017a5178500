"""A summary of results: by set, model, band and side of yaw, with intervals; as JSON values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import rayboot
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure import Measurements
from rayboot.evaluate.metrics.statistics import Interval, mean_interval, paired_change
from rayboot.evaluate.protocol import Alignment
from rayboot.evaluate.results import FaceError, name_band, select_band, select_side

__all__ = ["summarize"]

_ALIGNMENTS: tuple[Alignment, ...] = ("icp", "correspondence", "none")
_SIDES = {"both": 0, "left": -1, "right": 1}
"""By the sign of yaw: the viewer's left is negative."""


def summarize(
    measured: Measurements,
    config: MeasureConfig,
    models: Mapping[str, str],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """What is kept as ``summary.json``.

    Args:
        measured: rows and faults.
        config: of the evaluation.
        models: pinned, by name.
        digests: of their weights.

    Returns:
        ``rayboot``, ``protocol``, ``models``; ``datasets`` with what stands for the truth and how many
        faces were measured, had no number or took no part, by reason; ``rows``, a figure a set,
        model, alignment, band and side, in % of the outer eye distance, with the 95 % interval
        over faces and the paired change against the first model on the same faces.
    """
    return {
        "rayboot": rayboot.__version__,
        "protocol": config.protocol.model_dump(mode="json"),
        "models": {
            name: {"model": model, "sha256": digests.get(name)} for name, model in models.items()
        },
        "datasets": {name: _describe_set(name, measured, config) for name in config.datasets},
        "rows": [row for name in config.datasets for row in _rows(name, measured, config)],
    }


def _describe_set(name: str, measured: Measurements, config: MeasureConfig) -> dict[str, Any]:
    errors = measured.results.errors(name)
    first = next(iter(errors.values()))
    return {
        **config.datasets[name].describe(),
        "config": config.datasets[name].model_dump(mode="json"),
        "faces": len(first),
        "measured": {
            model: sum(bool(np.isfinite(face.nme_icp)) for face in found)
            for model, found in errors.items()
        },
        "without_number": [
            {"face_id": face.face_id, "model": model, "reason": face.reason}
            for model, found in errors.items()
            for face in found
            if face.reason
        ],
        "left_out": [fault._asdict() for fault in measured.faults.get(name, [])],
        "note": measured.notes.get(name, ""),
    }


def _rows(name: str, measured: Measurements, config: MeasureConfig) -> Iterator[dict[str, Any]]:
    errors = measured.results.errors(name)
    bands = [("all", None), *((name_band(*band), band) for band in config.bands)]
    for align in _ALIGNMENTS:
        for band, limits in bands:
            for side, sign in _SIDES.items():
                chosen = {m: _choose(found, limits, sign) for m, found in errors.items()}
                yield from _compare(name, align, band, side, chosen)


def _choose(
    errors: Sequence[FaceError], limits: tuple[float, float] | None, sign: int
) -> list[FaceError]:
    found = list(errors) if limits is None else select_band(errors, *limits)
    return select_side(found, sign) if sign else found


def _compare(
    name: str, align: Alignment, band: str, side: str, errors: Mapping[str, list[FaceError]]
) -> Iterator[dict[str, Any]]:
    """A row a model; faces that any model has no number for count for none."""
    values = np.array(
        [[100 * getattr(face, f"nme_{align}") for face in found] for found in errors.values()]
    )
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.shape[1] == 0:
        return
    percent = 100 / values[0].mean()
    for model, row in zip(errors, values, strict=True):
        change = paired_change(values[0], row)
        yield {
            "set": name,
            "model": model,
            "align": align,
            "band": band,
            "side": side,
            "faces": values.shape[1],
            **_named(mean_interval(row)),
            "median": float(np.median(row)),
            **{f"change_{key}": percent * value for key, value in _named(change).items()},
        }


def _named(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
