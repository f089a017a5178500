"""Rows that pass between stages: one row for each photo, from the listing to the output.

A stage is a callable class: ``__call__`` receives a :class:`pyarrow.Table`, one batch, and
returns a table with as many rows in the same order. Most stages convert the batch with
:func:`table_to_rows` and process it with :func:`map_rows`, one row at a time.

A photo that fails keeps its row: a :class:`~rayboot.errors.FaceRejectedError` turns the row
into a reject with a stage, a reason and a message, and later stages pass it through
unchanged. Any other exception is a fault of the program and stops the run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.errors import FaceRejectedError
from rayboot.geometry.volume import coarsen_mask, find_small_components, voxels_per_cell

__all__ = [
    "FACE_TYPE",
    "STAGE_SCHEMA",
    "Row",
    "Solid",
    "decode_solid",
    "map_rows",
    "rows_to_table",
    "table_to_rows",
]

Row = dict[str, Any]

FACE_TYPE = pa.struct(
    [
        ("crop", pa.list_(pa.float64())),
        ("image", pa.binary()),
        ("closeup", pa.binary()),
        ("occupancy", pa.binary()),
        ("cells", pa.binary()),
        ("box", pa.list_(pa.int32())),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)
"""One of several faces of a row; its fields mean what the columns of :data:`STAGE_SCHEMA` do."""

STAGE_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        ("duplicate_of", pa.string()),
        # Path of the mesh below the output, without its suffix; null where none is exported.
        ("mesh_name", pa.string()),
        ("content_hash", pa.string()),
        # Number of faces that a detector found in the photo; null where landmarks mark the face.
        ("num_people", pa.int32()),
        # Why the photo's landmark file does not say where the face is; null where it does, or where
        # there is none.
        ("unused_landmarks", pa.string()),
        ("crop", pa.list_(pa.float64())),
        # Raw bytes of the crop (S, S, 3) and of its landmarks (68, 2) float64, if any.
        ("image", pa.binary()),
        ("landmarks", pa.binary()),
        # JPEG of the crop in the photo's resolution; null if that is no finer, or not wanted.
        ("closeup", pa.binary()),
        # The faces of a photo of which all are exported, the largest first: each with its own
        # crop, volume and reject, which the row itself then lacks; null where one is exported.
        ("faces", pa.list_(FACE_TYPE)),
        # The packed bits of the volume, and its soft values as bytes inside their bounding box.
        ("occupancy", pa.binary()),
        ("cells", pa.binary()),
        ("box", pa.list_(pa.int32())),
        # Front, back and peak of each column of the volume: (3, h, w) float32.
        ("columns", pa.binary()),
        # The training target of the network and its kind; null where the volume or its depth maps
        # are the target.
        ("target_kind", pa.string()),
        ("target", pa.binary()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("thumbnail", pa.binary()),
    ]
)


def table_to_rows(table: pa.Table) -> list[Row]:
    """Converts a table to rows; columns of the schema that the table lacks become None."""
    names = STAGE_SCHEMA.names
    return [{name: row.get(name) for name in names} for row in table.to_pylist()]


def rows_to_table(rows: list[Row]) -> pa.Table:
    """Converts rows to a table of :data:`STAGE_SCHEMA`."""
    return pa.Table.from_pylist(rows, schema=STAGE_SCHEMA)


def map_rows(rows: list[Row], process: Callable[[Row], Row]) -> list[Row]:
    """Applies ``process`` to every row that is not a reject yet.

    Args:
        rows: rows of one batch.
        process: returns the columns that it adds to a row, or raises
            :class:`~rayboot.errors.FaceRejectedError` to turn the row into a reject.
    """
    return [row if row["reason"] else _process_or_reject(row, process) for row in rows]


def _process_or_reject(row: Row, process: Callable[[Row], Row]) -> Row:
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
    """A reconstructed shape: its occupied voxels and its soft occupancy.

    Attributes:
        occupied: (D, H, W) bool, which voxels reach the isovalue.
        cells: (D', H', W') float32, the soft volume in cubes of ``cell`` px.
        cell: edge length of these cubes in px; 0 where the cells are the voxels themselves.
    """

    occupied: np.ndarray
    cells: np.ndarray
    cell: int

    def without_small_components(self) -> "Solid":
        """Returns the largest component; small components would tilt the pose and the extents."""
        small_components = find_small_components(self.occupied)
        if small_components is None:
            return self
        touched = coarsen_mask(small_components, self.cell)
        return self._replace(
            occupied=self.occupied & ~small_components,
            cells=np.where(touched, np.float32(0), self.cells),
        )


def decode_solid(row: Row, shape: tuple[int, int, int], cell: int) -> Solid:
    """Decodes the shape that a row contains.

    The inverse of what :class:`~rayboot.pipeline.stages.predict_volume.PredictVolume` stores.

    Args:
        row: a row with ``occupancy``, ``cells`` and ``box``.
        shape: (D, H, W) of the network's volume.
        cell: edge length of the stored cells in px; 0 for voxels.
    """
    bits = np.frombuffer(row["occupancy"], np.uint8)
    occupied = np.unpackbits(bits).reshape(shape).view(bool)
    edges = row["box"]
    box = tuple(slice(edges[2 * k], edges[2 * k + 1]) for k in range(3))
    counts = [-(-length // step) for length, step in zip(shape, voxels_per_cell(cell), strict=True)]
    cells = np.zeros(counts, np.float32)
    sides = [side.stop - side.start for side in box]
    cells[box] = np.frombuffer(row["cells"], np.uint8).reshape(sides) / np.float32(255)
    return Solid(occupied, cells, cell)
