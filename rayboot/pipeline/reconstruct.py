"""Reconstruction: crops to soft occupancy volumes, one network an actor."""

import numpy as np
import pyarrow as pa

from rayboot.geometry.volume import occupied_box
from rayboot.models import load_vrn
from rayboot.models.config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.rows import Row, rows_of, table_of

__all__ = ["ReconstructFaces"]

_RIM = 0.02
"""Occupancy below this is left out of the box: too faint to move the isosurface."""


class ReconstructFaces:
    """Face crop to occupancy volume, one network per actor.

    Reads    image      raw bytes (S, S, 3) uint8 RGB
    Adds     occupancy  raw bytes of the occupied box, occupancy times 255
             box        (6,) start and stop of slices, rows, columns
             reject     reason ``empty-volume`` where nothing is occupied
    """

    def __init__(
        self, weights: str, config: InferenceConfig, batch_size: int, use_gpu: bool
    ) -> None:
        network = load_vrn(weights, device="cuda" if use_gpu else "cpu")
        self._size = network.config.resolution
        self._predictor = Predictor(network, config, batch_size=batch_size)

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch; rejects pass through."""
        rows = rows_of(table)
        alive = [row for row in rows if not row["reason"]]
        if alive:
            shape = (self._size, self._size, 3)
            images = np.stack([np.frombuffer(r["image"], np.uint8).reshape(shape) for r in alive])
            for row, volume in zip(alive, self._predictor.predict(images), strict=True):
                row.update(_boxed(volume))
        return table_of(rows)


def _boxed(volume: np.ndarray) -> Row:
    if not (volume >= 0.5).any():
        return {
            "stage": "reconstruct",
            "reason": "empty-volume",
            "message": "the network sees no face here: no voxel reaches 0.5; check the crop",
        }
    box = occupied_box(volume >= _RIM)
    values = np.rint(volume[box] * 255).astype(np.uint8)
    return {
        "box": [edge for side in box for edge in (side.start, side.stop)],
        "occupancy": values.tobytes(),
    }
