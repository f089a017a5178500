"""Measured errors: one row per dataset, model and face, stored as Parquet."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.io.parquet import read_table, write_table

__all__ = [
    "RESULT_SCHEMA",
    "FaceError",
    "Results",
    "name_band",
    "read_result_rows",
    "select_band",
    "select_side",
]

RESULT_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("face_id", pa.string()),
        ("yaw_deg", pa.float64()),
        # Fractions of the outer eye distance, in the protocol's direction; NaN without a result.
        ("nme_icp", pa.float64()),
        ("nme_correspondence", pa.float64()),
        ("nme_none", pa.float64()),
        # Of details (rayboot.evaluate.metrics.detail); NaN where the truth does not contain them.
        ("normal_deg", pa.float64()),
        ("nme_nose", pa.float64()),
        ("nme_inner", pa.float64()),
        # Why the face has no error, or "".
        ("reason", pa.string()),
    ]
)

_FORMER_COLUMNS = {"set": "dataset"}
"""Columns of version 0.1 by their former name."""


class FaceError(NamedTuple):
    """Errors of one face; NaN where there is none.

    ``normal_deg`` is in degrees, the others are fractions of the outer eye distance.
    """

    face_id: str
    yaw_deg: float
    nme_icp: float
    nme_none: float
    nme_correspondence: float = float("nan")
    reason: str = ""
    normal_deg: float = float("nan")
    nme_nose: float = float("nan")
    nme_inner: float = float("nan")


class Results:
    """Errors by dataset, model and face.

    Args:
        rows: Table of :data:`RESULT_SCHEMA`.
        datasets: Names of the datasets, in the order of the config.
        models: Names of the models, in the order of the config.
    """

    def __init__(self, rows: pa.Table, datasets: Sequence[str], models: Sequence[str]) -> None:
        keys = [("dataset", "ascending"), ("model", "ascending"), ("face_id", "ascending")]
        self.rows, self.datasets, self.models = rows.sort_by(keys), list(datasets), list(models)

    def errors(self, dataset_name: str | None = None) -> dict[str, list[FaceError]]:
        """Returns the errors of each model, sorted by ``face_id``; by default of the first dataset.

        Where the yaw of a scan follows from each model's own shape, a face gets the yaw of the
        first model that has one, so that it is in the same band for all models.
        """
        name, nan = dataset_name or self.datasets[0], float("nan")
        rows = self.rows.filter(pc.equal(self.rows["dataset"], name))
        by_model = {
            model: [
                FaceError._make(nan if row[k] is None else row[k] for k in FaceError._fields)
                for row in rows.filter(pc.equal(rows["model"], model)).to_pylist()
            ]
            for model in self.models
        }
        yaws = [
            _first_finite([face.yaw_deg for face in faces])
            for faces in zip(*by_model.values(), strict=True)
        ]
        return {
            model: [face._replace(yaw_deg=yaw) for face, yaw in zip(faces, yaws, strict=True)]
            for model, faces in by_model.items()
        }

    def save(self, path: Path) -> None:
        """Writes the rows as one Parquet file."""
        write_table(str(path), self.rows)


def read_result_rows(path: Path) -> pa.Table:
    """Reads rows of :data:`RESULT_SCHEMA`, also from a file that version 0.1 wrote.

    Errors that an older file lacks are null.
    """
    table = read_table(str(path))
    names = [_FORMER_COLUMNS.get(name, name) for name in table.column_names]
    table = table.rename_columns(names)
    for name in set(RESULT_SCHEMA.names) - set(names):
        table = table.append_column(name, pa.nulls(len(table), RESULT_SCHEMA.field(name).type))
    return table.select(RESULT_SCHEMA.names)


def _first_finite(values: Sequence[float]) -> float:
    return next((value for value in values if np.isfinite(value)), float("nan"))


def select_band(errors: Iterable[FaceError], low: float, high: float) -> list[FaceError]:
    """Returns the faces with ``low <= |yaw| <= high``, degrees."""
    return [error for error in errors if low <= abs(error.yaw_deg) <= high]


def name_band(low: float, high: float) -> str:
    """Returns the name of a yaw band in tables."""
    return f"{low:g} to {high:g}" if low != high else f"{low:g}"


def select_side(errors: Iterable[FaceError], sign: int) -> list[FaceError]:
    """Returns the faces that look to the viewer's right (sign 1) or left (sign -1)."""
    return [error for error in errors if np.sign(error.yaw_deg) == sign]
