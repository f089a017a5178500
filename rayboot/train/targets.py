"""Rows of a pairs data set to training samples: the target turned, packed again.

A turned volume is never stored in a data set; it is made here from the stored
one and the view's transform, once, and kept as compressed bits.
"""

import hashlib
from typing import Any

import pyarrow as pa

from rayboot.geometry.volume import pack_occupancy, transform_volume, unpack_occupancy

__all__ = ["TurnTargets", "repeat_source"]


class TurnTargets:
    """Views with the source's occupancy to views with their own.

    Reads    occupancy (bits), shape, transform (12,), yaw_deg, pitch_deg
    Adds     target    (bits) of the volume as the view shows it
    Drops    occupancy, transform
    """

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of views."""
        targets = [_turned(row) for row in table.select(_NEEDED).to_pylist()]
        kept = table.select(["face_id", "image", "shape"])
        return kept.append_column("target", pa.array(targets, pa.binary()))


_NEEDED = ["occupancy", "shape", "transform", "yaw_deg", "pitch_deg"]


def _turned(row: dict[str, Any]) -> bytes:
    import numpy as np

    shape = tuple(row["shape"])
    transform = np.reshape(row["transform"], (3, 4))
    if np.array_equal(transform, np.eye(3, 4)):
        return row["occupancy"]
    return pack_occupancy(transform_volume(unpack_occupancy(row["occupancy"], shape), transform))


def repeat_source(face_id: str, copies: float) -> int:
    """How often the unrotated photo of ``face_id`` takes part, ``copies`` on average.

    Decided by the id alone, so it depends on no worker and no order.
    """
    draw = int.from_bytes(hashlib.sha256(face_id.encode()).digest()[:8], "big") / 2**64
    return int(copies) + (draw < copies - int(copies))
