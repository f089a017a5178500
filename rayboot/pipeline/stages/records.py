"""Rows between stages: one a photo, kept to the end with its reason if it fails.

A stage is a class whose ``process`` takes one row and returns what it adds. A
:class:`~rayboot.errors.FaceRejectedError` turns the row into a reject; later
stages let it pass. A broken program raises, and stops the run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.errors import FaceRejectedError
from rayboot.geometry.volume import coarsen_mask, find_small_components, voxels_per_cell

__all__ = [
    "STAGE_SCHEMA",
    "Row",
    "Solid",
    "decode_solid",
    "map_rows",
    "rows_to_table",
    "table_to_rows",
]

Row = dict[str, Any]

STAGE_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        ("duplicate_of", pa.string()),
        ("content_hash", pa.string()),
        ("crop", pa.list_(pa.float64())),
        # Raw bytes of the crop (S, S, 3) and of its landmarks (68, 2) float64, if any.
        ("image", pa.binary()),
        ("landmarks", pa.binary()),
        # The volume's bits; and its soft values in bytes, inside the box that holds them.
        ("occupancy", pa.binary()),
        ("cells", pa.binary()),
        ("box", pa.list_(pa.int32())),
        # What the network learns from, and of which kind; null where the volume is it.
        ("target_kind", pa.string()),
        ("target", pa.binary()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("thumbnail", pa.binary()),
    ]
)


def table_to_rows(table: pa.Table) -> list[Row]:
    """The table's rows, columns that the schema adds filled with None."""
    names = STAGE_SCHEMA.names
    return [{name: row.get(name) for name in names} for row in table.to_pylist()]


def rows_to_table(rows: list[Row]) -> pa.Table:
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


class Solid(NamedTuple):
    """A reconstructed shape.

    Attributes:
        occupied: (D, H, W) bool, which voxels reach the isovalue.
        cells: (D', H', W') float32, the soft volume in cubes of ``cell`` px.
        cell: their edge; 0 where they are the voxels.
    """

    occupied: np.ndarray
    cells: np.ndarray
    cell: int

    def without_small_components(self) -> "Solid":
        """Its largest component; specks would tilt pose and extents."""
        small_components = find_small_components(self.occupied)
        if small_components is None:
            return self
        touched = coarsen_mask(small_components, self.cell)
        return self._replace(
            occupied=self.occupied & ~small_components,
            cells=np.where(touched, np.float32(0), self.cells),
        )


def decode_solid(row: Row, shape: tuple[int, int, int], cell: int) -> Solid:
    """The shape of a reconstructed row; ``shape`` (D, H, W) is the volume's."""
    bits = np.frombuffer(row["occupancy"], np.uint8)
    occupied = np.unpackbits(bits).reshape(shape).view(bool)
    edges = row["box"]
    box = tuple(slice(edges[2 * k], edges[2 * k + 1]) for k in range(3))
    counts = [-(-length // step) for length, step in zip(shape, voxels_per_cell(cell), strict=True)]
    cells = np.zeros(counts, np.float32)
    sides = [side.stop - side.start for side in box]
    cells[box] = np.frombuffer(row["cells"], np.uint8).reshape(sides) / np.float32(255)
    return Solid(occupied, cells, cell)
