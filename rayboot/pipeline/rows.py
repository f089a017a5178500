"""Rows between stages: one a photo, kept to the end with its reason if it fails.

A stage is a class whose ``process`` takes one row and returns what it adds. A
:class:`~rayboot.errors.FaceRejectedError` turns the row into a reject; later
stages let it pass. A broken program raises, and stops the run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from rayboot.errors import FaceRejectedError

__all__ = ["Row", "STAGE_SCHEMA", "map_rows", "rows_of", "soft_volume", "table_of"]

Row = dict[str, Any]

STAGE_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        ("landmarks_uri", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        ("duplicate_of", pa.string()),
        ("content_hash", pa.string()),
        ("crop", pa.list_(pa.float64())),
        # Raw bytes of the crop (S, S, 3) and of its landmarks (68, 2) float64, if any.
        ("image", pa.binary()),
        ("landmarks", pa.binary()),
        # Soft occupancy in bytes, only inside the box that holds it.
        ("box", pa.list_(pa.int32())),
        ("occupancy", pa.binary()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("thumbnail", pa.binary()),
    ]
)


def rows_of(table: pa.Table) -> list[Row]:
    """The table's rows, columns that the schema adds filled with None."""
    names = STAGE_SCHEMA.names
    return [{name: row.get(name) for name in names} for row in table.to_pylist()]


def table_of(rows: list[Row]) -> pa.Table:
    """Rows as a table of the stages' schema."""
    return pa.Table.from_pylist(rows, schema=STAGE_SCHEMA)


def map_rows(rows: list[Row], process: Callable[[Row], Row]) -> list[Row]:
    """Applies ``process`` to every row that is not a reject yet."""
    return [row if row["reason"] else _attempt(row, process) for row in rows]


def _attempt(row: Row, process: Callable[[Row], Row]) -> Row:
    try:
        return {**row, **process(row)}
    except FaceRejectedError as error:
        return {
            **row,
            "stage": error.stage,
            "reason": error.reason,
            "message": error.message,
        }


def soft_volume(row: Row, shape: tuple[int, int, int]) -> np.ndarray:
    """The soft volume (D, H, W) float32 in [0, 1] of a reconstructed row."""
    edges = row["box"]
    box = tuple(slice(edges[2 * k], edges[2 * k + 1]) for k in range(3))
    volume = np.zeros(shape, np.float32)
    sides = [side.stop - side.start for side in box]
    volume[box] = np.frombuffer(row["occupancy"], np.uint8).reshape(sides) / np.float32(255)
    return volume
