"""Results: a row a face and model, kept as Parquet while they are made, and read back."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.io.storage import write_bytes

__all__ = [
    "RESULT_SCHEMA",
    "FaceError",
    "Results",
    "name_band",
    "select_band",
    "select_side",
    "write_table",
]

RESULT_SCHEMA = pa.schema(
    [
        ("set", pa.string()),
        ("model", pa.string()),
        ("face_id", pa.string()),
        ("yaw_deg", pa.float64()),
        # Shares of the outer eye distance, in the protocol's direction; NaN where there is none.
        ("nme_icp", pa.float64()),
        ("nme_correspondence", pa.float64()),
        ("nme_none", pa.float64()),
        # Why there is no number, else "".
        ("reason", pa.string()),
    ]
)


class FaceError(NamedTuple):
    """Errors of one face, shares of the outer eye distance; NaN where there is no number."""

    face_id: str
    yaw_deg: float
    nme_icp: float
    nme_none: float
    nme_correspondence: float = float("nan")
    reason: str = ""


class Results:
    """Errors by set, model and face.

    Args:
        rows: a table of :data:`RESULT_SCHEMA`.
        sets: names, in the order of the config.
        models: likewise.
    """

    def __init__(self, rows: pa.Table, datasets: Sequence[str], models: Sequence[str]) -> None:
        keys = [("set", "ascending"), ("model", "ascending"), ("face_id", "ascending")]
        self.rows, self.datasets, self.models = rows.sort_by(keys), list(datasets), list(models)

    def errors(self, set_name: str | None = None) -> dict[str, list[FaceError]]:
        """By model, in the order of ``face_id``; of the first set unless one is named.

        Where each model's shape tells a scan's pose, a face has the yaw that the first model
        gives it, so that it is in one band for all.
        """
        of_set = self.rows.filter(pc.equal(self.rows["set"], set_name or self.datasets[0]))
        found = {
            model: [
                FaceError(**{name: row[name] for name in FaceError._fields})
                for row in of_set.filter(pc.equal(of_set["model"], model)).to_pylist()
            ]
            for model in self.models
        }
        yaws = [
            _first_finite([face.yaw_deg for face in faces])
            for faces in zip(*found.values(), strict=True)
        ]
        return {
            model: [face._replace(yaw_deg=yaw) for face, yaw in zip(faces, yaws, strict=True)]
            for model, faces in found.items()
        }

    def save(self, path: Path) -> None:
        """Writes the rows as one Parquet file."""
        write_table(path, self.rows)


def write_table(path: Path, table: pa.Table) -> None:
    """Writes a Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(str(path), buffer.getvalue())


def _first_finite(values: Sequence[float]) -> float:
    return next((value for value in values if np.isfinite(value)), float("nan"))


def select_band(errors: Iterable[FaceError], low: float, high: float) -> list[FaceError]:
    """Those with ``low <= |yaw| <= high``, degrees."""
    return [error for error in errors if low <= abs(error.yaw_deg) <= high]


def name_band(low: float, high: float) -> str:
    """A band's name in tables."""
    return f"{low:g} to {high:g}" if low != high else f"{low:g}"


def select_side(errors: Iterable[FaceError], sign: int) -> list[FaceError]:
    """Those that look to the viewer's right (1) or left (-1)."""
    return [error for error in errors if np.sign(error.yaw_deg) == sign]
