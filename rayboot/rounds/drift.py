"""Whether the shapes of a round have drifted away from the first teacher's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.data.images import decode_photo
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics, measure_shapes
from rayboot.models import load_network

__all__ = ["DriftConfig", "detect_drift", "measure_drift", "read_crops"]


class DriftConfig(FrozenConfig):
    """How far the shapes may go from the first teacher's, all on the same photos."""

    num_photos: int = Field(64, ge=4)
    """Of the pairs data set, those that the shapes are described by."""
    min_spread: float = Field(0.85, ge=0, le=1)
    """Share of the first teacher's spread that must be left: below it faces become alike. In six
    sound rounds at least 0.95 was."""
    max_mirror_loss: float = Field(0.05, ge=0, le=1)
    """Most that the overlap of a shape with its mirror image's may fall by. In sound rounds it
    fell by 0.003 at most, and mostly grew; by 0.04 in one of 24 photos and one epoch."""
    max_volume_change: float = Field(0.25, ge=0)
    """Share of the first teacher's volume that shapes may grow or shrink by. In sound rounds it was
    0.02 at most on made faces, and 0.13 on real ones."""


def measure_drift(
    weights: Mapping[str, Path], pairs: str, config: DriftConfig
) -> dict[str, ShapeStatistics]:
    """Statistics of networks on the unrotated photos of a pairs data set, by name.

    Args:
        weights: files by name; they all take crops of the pairs' size.
        pairs: URI of the data set.
        config: how many photos.
    """
    crops = read_crops(pairs, config.num_photos)
    return {name: measure_shapes(load_network(path), crops) for name, path in weights.items()}


def read_crops(pairs: str, count: int) -> np.ndarray:
    """The first ``count`` faces' crops (N, S, S, 3) uint8, in the order of their names."""
    index = index_faces(pairs, "train").slice(0, count)
    rows = read_faces(pairs, index, "occupancy")
    return np.stack([decode_photo(row["image"]) for row in rows])


def detect_drift(first: ShapeStatistics, now: ShapeStatistics, config: DriftConfig) -> str:
    """What has left the first teacher's range, a sentence; empty where nothing has."""
    faults = []
    if now.spread < config.min_spread * first.spread:
        faults.append(
            f"faces become alike: spread {now.spread:.4f}, the first teacher's is "
            f"{first.spread:.4f} and at least {config.min_spread:.0%} of it must be left"
        )
    if now.mirror < first.mirror - config.max_mirror_loss:
        faults.append(
            f"mirror images get other shapes: overlap {now.mirror:.3f}, the first teacher's is "
            f"{first.mirror:.3f} and may fall by {config.max_mirror_loss:g}"
        )
    if abs(now.volume - first.volume) > config.max_volume_change * first.volume:
        faults.append(
            f"shapes change their size: {now.volume:.4f} of the volume, the first teacher's fill "
            f"{first.volume:.4f} and may change by {config.max_volume_change:.0%}"
        )
    return "; ".join(faults)
