"""Reconstruction stage: face crops to occupancy volumes, one network per actor."""

import numpy as np
import pyarrow as pa

from rayboot.geometry.volume import occupied_box
from rayboot.io.storage import as_local_file
from rayboot.models import Reconstructor, load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.stages.records import Row, rows_to_table, table_to_rows

__all__ = ["PredictVolume"]

_MIN_BOX_OCCUPANCY = 5
"""Occupancy, of 255, that a cell needs to extend the stored box; fainter cells are too faint to
move the isosurface."""


class PredictVolume:
    """Face crop to occupancy volume, one network per actor.

    Reads    image      raw bytes (S, S, 3) uint8 RGB; or those of each of ``faces``, which then
                        receive the volumes and rejects
    Adds     occupancy  raw bytes, the packed bits of the volume
             cells      raw bytes, the soft volume in cubes of ``cell`` px, inside ``box``
             box        (6,) start and stop of the cells' slices, rows and columns
             columns    raw bytes (3, h, w) float32, front, back and peak of each column of the
                        volume; null where the network has no surface field
             target     training target of the network, and its target_kind; null where the
                        occupancy or the columns are the target
             reject     reason ``empty-volume`` where no voxel is occupied

    Args:
        weights: URI of the weights file.
        config: settings of accelerated inference.
        batch_size: number of crops in one forward pass.
        use_gpu: whether the network runs on the first GPU visible to the process.
        isovalue: occupancy from which on a voxel is occupied.
        cell: edge length of the cubes in px; 0 keeps the voxels.
    """

    def __init__(
        self,
        weights: str,
        config: InferenceConfig,
        batch_size: int,
        use_gpu: bool,
        isovalue: float = 0.5,
        cell: int = 0,
    ) -> None:
        network = _load_network(weights, "cuda" if use_gpu else "cpu")
        self._size, self._target_kind = network.config.resolution, network.target_kind
        self._predictor = Predictor(network, config, batch_size=batch_size)
        self._isovalue, self._cell = isovalue, cell
        # Not in the first call, whose time would count as that of its photos.
        self._predictor.warm_up(isovalue, cell)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Reconstructs one batch; rejects pass through."""
        rows = table_to_rows(table)
        # The faces of a row are dictionaries like the row itself, and changed in their place.
        accepted = [face for row in rows if not row["reason"] for face in row["faces"] or [row]]
        if accepted:
            shape = (self._size, self._size, 3)
            images = np.stack(
                [np.frombuffer(row["image"], np.uint8).reshape(shape) for row in accepted]
            )
            compressed = self._predictor.predict_compressed(images, self._isovalue, self._cell)
            columns = compressed.columns
            for index, row in enumerate(accepted):
                bits, cells = compressed.bits[index], compressed.cells[index]
                row.update(_encode_volume(bits, cells, self._isovalue))
                row.update(target_kind=self._target_kind, target=compressed.targets[index])
                row["columns"] = None if columns is None else columns[index].tobytes()
        return rows_to_table(rows)


def _load_network(weights: str, device: str) -> Reconstructor:
    with as_local_file(weights) as file:
        return load_network(file, device=device)


def _encode_volume(bits: np.ndarray, cells: np.ndarray, isovalue: float) -> Row:
    """Returns the columns of one volume, cropped to its box, or those of a reject."""
    if not bits.any():
        return {
            "stage": "reconstruct",
            "reason": "empty-volume",
            "message": f"the network predicts an empty volume: no voxel reaches the isovalue "
            f"{isovalue:g}; check that the crop shows a face",
        }
    box = occupied_box(cells >= min(_MIN_BOX_OCCUPANCY, cells.max()))
    return {
        "occupancy": bits.tobytes(),
        "box": [edge for side in box for edge in (side.start, side.stop)],
        "cells": cells[box].tobytes(),
    }
