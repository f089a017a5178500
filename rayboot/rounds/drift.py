"""Detection of shape drift: how a candidate's shapes differ from the first teacher's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.data.images import decode_photo
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics, measure_shapes
from rayboot.models import load_network
from rayboot.models.default_device import default_device

__all__ = ["DriftConfig", "detect_drift", "measure_drift", "read_crops"]


class DriftConfig(FrozenConfig):
    """Limits on how far shapes may differ from the first teacher's on the same photos."""

    num_photos: int = Field(64, ge=4)
    """Number of photos of the pairs data set on which the shape statistics are computed."""
    min_spread: float = Field(0.85, ge=0, le=1)
    """Fraction of the first teacher's spread that must remain: below it faces become alike. In six
    sound rounds at least 0.95 remained."""
    max_mirror_loss: float = Field(0.05, ge=0, le=1)
    """Largest allowed decrease of the overlap between a shape and its mirror image's shape. In
    sound rounds it decreased by 0.003 at most, and mostly grew; by 0.04 in one of 24 photos and
    one epoch."""
    max_volume_change: float = Field(0.25, ge=0)
    """Fraction of the first teacher's volume by which shapes may grow or shrink. In sound rounds it
    was 0.02 at most on synthetic faces, and 0.13 on real ones."""


def measure_drift(
    weights: Mapping[str, Path], pairs: str, config: DriftConfig, manifest: str | None = None
) -> dict[str, ShapeStatistics]:
    """Returns shape statistics of networks, by name, on the source crops of a pairs data set.

    Args:
        weights: weights files by name; all networks take crops of the pairs' size.
        pairs: URI of the data set.
        config: number of photos to use.
        manifest: digest of the manifest of the data set; None is the current one.
    """
    crops = read_crops(pairs, config.num_photos, manifest)
    device = str(default_device())
    return {
        name: measure_shapes(load_network(path, device), crops) for name, path in weights.items()
    }


def read_crops(pairs: str, count: int, manifest: str | None = None) -> np.ndarray:
    """Returns the first ``count`` training faces' crops (N, S, S, 3) uint8, ordered by name."""
    index = index_faces(pairs, "train", manifest).slice(0, count)
    rows = read_faces(pairs, index, "occupancy")
    return np.stack([decode_photo(row["image"]) for row in rows])


def detect_drift(first: ShapeStatistics, candidate: ShapeStatistics, config: DriftConfig) -> str:
    """Describes which statistics exceed their limits; returns "" where none does.

    Args:
        first: statistics of the first teacher.
        candidate: statistics of the candidate on the same photos.
        config: the limits.
    """
    faults = []
    if candidate.spread < config.min_spread * first.spread:
        faults.append(
            f"faces become alike: spread {candidate.spread:.4f}, the first teacher's is "
            f"{first.spread:.4f} and at least {config.min_spread:.0%} of it must remain"
        )
    if candidate.mirror < first.mirror - config.max_mirror_loss:
        faults.append(
            f"mirror images get other shapes: overlap {candidate.mirror:.3f}, the first teacher's "
            f"is {first.mirror:.3f} and may decrease by {config.max_mirror_loss:g}"
        )
    if abs(candidate.volume - first.volume) > config.max_volume_change * first.volume:
        faults.append(
            f"shapes change their size: they fill {candidate.volume:.4f} of the volume, the first "
            f"teacher's fill {first.volume:.4f} and may change by {config.max_volume_change:.0%}"
        )
    return "; ".join(faults)
