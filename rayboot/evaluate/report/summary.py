"""Summary of results as JSON values: by dataset, model, yaw band and side, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import rayboot
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.metrics.statistics import Interval, mean_interval, paired_change
from rayboot.evaluate.results import FaceError, name_band, select_band, select_side

__all__ = ["summarize"]

_ERRORS = {
    "icp": ("nme_icp", 100),
    "correspondence": ("nme_correspondence", 100),
    "none": ("nme_none", 100),
    "nose": ("nme_nose", 100),
    "inner": ("nme_inner", 100),
    "normals": ("normal_deg", 1),
}
"""Field of :class:`~rayboot.evaluate.results.FaceError` and its factor, by the name ``align`` in a
summary: NME in % after each alignment, then the details after ICP, of which normals are in
degrees."""
_SIDES = {"both": 0, "left": -1, "right": 1}
"""Sign of the yaw on each side: the viewer's left is negative, 0 selects all faces."""


def summarize(
    measurements: Measurements,
    config: MeasureConfig,
    models: Mapping[str, str],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the content of ``summary.json``.

    Args:
        measurements: Errors, and the faces that were not measured.
        config: Config of the evaluation.
        models: URIs of the models by name, pinned to a version.
        digests: SHA-256 digests of their weights, by model name.

    Returns:
        ``rayboot`` (the version), ``protocol`` and ``models``; ``datasets`` with the truth of each,
        the numbers of its faces, and the faces without an error or excluded, with their reasons;
        ``rows``, one per dataset, model, alignment (or detail), band and side: the mean error in %
        of the outer eye distance (of normals, in degrees) with its 95 % interval over faces, the
        median, and the paired change against the first model on the same faces.
    """
    return {
        "rayboot": rayboot.__version__,
        "protocol": config.protocol.model_dump(mode="json"),
        "models": {
            name: {"model": model, "sha256": digests.get(name)} for name, model in models.items()
        },
        "datasets": {
            name: _describe_dataset(name, measurements, config) for name in config.datasets
        },
        "rows": [row for name in config.datasets for row in _rows(name, measurements, config)],
    }


def _describe_dataset(
    name: str, measurements: Measurements, config: MeasureConfig
) -> dict[str, Any]:
    errors = measurements.results.errors(name)
    return {
        **config.datasets[name].describe(),
        "config": config.datasets[name].model_dump(mode="json"),
        "faces": len(next(iter(errors.values()))),
        "measured": {
            model: sum(bool(np.isfinite(face.nme_icp)) for face in faces)
            for model, faces in errors.items()
        },
        "without_number": [
            {"face_id": face.face_id, "model": model, "reason": face.reason}
            for model, faces in errors.items()
            for face in faces
            if face.reason
        ],
        "left_out": [face._asdict() for face in measurements.excluded.get(name, [])],
        "note": measurements.notes.get(name, ""),
    }


def _rows(name: str, measurements: Measurements, config: MeasureConfig) -> Iterator[dict[str, Any]]:
    errors = measurements.results.errors(name)
    bands = [("all", None), *((name_band(*band), band) for band in config.bands)]
    for align in _ERRORS:
        for band, limits in bands:
            for side, sign in _SIDES.items():
                chosen = {m: _select(faces, limits, sign) for m, faces in errors.items()}
                yield from _compare(name, align, band, side, chosen)


def _select(
    errors: Sequence[FaceError], limits: tuple[float, float] | None, sign: int
) -> list[FaceError]:
    in_band = list(errors) if limits is None else select_band(errors, *limits)
    return select_side(in_band, sign) if sign else in_band


def _compare(
    name: str, align: str, band: str, side: str, errors: Mapping[str, list[FaceError]]
) -> Iterator[dict[str, Any]]:
    """Yields one row per model, over the faces for which every model has an error."""
    field, factor = _ERRORS[align]
    values = np.array(
        [[factor * getattr(face, field) for face in faces] for faces in errors.values()]
    )
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.shape[1] == 0:
        return
    percent = 100 / values[0].mean()
    for model, row in zip(errors, values, strict=True):
        change = paired_change(values[0], row)
        yield {
            "dataset": name,
            "model": model,
            "align": align,
            "band": band,
            "side": side,
            "faces": values.shape[1],
            **_interval_values(mean_interval(row)),
            "median": float(np.median(row)),
            **{f"change_{key}": percent * value for key, value in _interval_values(change).items()},
        }


def _interval_values(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
