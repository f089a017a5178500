"""Reconstruction: crops to occupancy volumes, one network an actor."""

import numpy as np
import pyarrow as pa

from rayboot.geometry.volume import occupied_box
from rayboot.io.storage import as_local_file
from rayboot.models import Reconstructor, load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.stages.records import Row, rows_to_table, table_to_rows

__all__ = ["PredictVolume"]

_RIM = 5
"""Of 255: fainter occupancy is left out of the box, too faint to move the isosurface."""


class PredictVolume:
    """Face crop to occupancy volume, one network per actor.

    Reads    image      raw bytes (S, S, 3) uint8 RGB
    Adds     occupancy  raw bytes, the volume's bits
             cells      raw bytes, the soft volume in cubes of ``cell`` px, of its box
             box        (6,) start and stop of the cells' slices, rows, columns
             target     what the network learns from, with its target_kind; null where that is
                        the occupancy
             reject     reason ``empty-volume`` where nothing is occupied

    Args:
        weights: URI of the network's file.
        config: of the fast path.
        batch_size: photos that the network takes at once.
        use_gpu: whether it runs on the first GPU that the process sees.
        isovalue: voxels at or above it are occupied.
        cell: edge of the cubes, px; 0 for voxels.
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
        network = _load(weights, "cuda" if use_gpu else "cpu")
        self._size, self._target_kind = network.config.resolution, network.target_kind
        self._predictor = Predictor(network, config, batch_size=batch_size)
        self._isovalue, self._cell = isovalue, cell

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch; rejects pass through."""
        rows = table_to_rows(table)
        alive = [row for row in rows if not row["reason"]]
        if alive:
            shape = (self._size, self._size, 3)
            images = np.stack([np.frombuffer(r["image"], np.uint8).reshape(shape) for r in alive])
            small = self._predictor.predict_compressed(images, self._isovalue, self._cell)
            for row, bits, cells, target in zip(alive, *small, strict=True):
                row.update(_boxed(bits, cells, self._isovalue))
                row.update(target_kind=self._target_kind, target=target)
        return rows_to_table(rows)


def _load(weights: str, device: str) -> Reconstructor:
    with as_local_file(weights) as file:
        return load_network(file, device=device)


def _boxed(bits: np.ndarray, cells: np.ndarray, isovalue: float) -> Row:
    if not bits.any():
        return {
            "stage": "reconstruct",
            "reason": "empty-volume",
            "message": f"the network sees no face here: no voxel reaches {isovalue:g}; "
            "check the crop",
        }
    box = occupied_box(cells >= min(_RIM, cells.max()))
    return {
        "occupancy": bits.tobytes(),
        "box": [edge for side in box for edge in (side.start, side.stop)],
        "cells": cells[box].tobytes(),
    }
