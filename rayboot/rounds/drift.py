"""Detection of shape drift: how a candidate's shapes differ from the first teacher's.

Shapes of photos and of rotated views are measured. Distillation holds those of photos whatever the
targets of the views are, so a fault of the pairs shows in the views; rotated back, their shapes
should vary from face to face as the first teacher's shapes of the photos do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.data.images import decode_photo
from rayboot.data.pair_index import index_faces, read_faces
from rayboot.evaluate.metrics.shape_statistics import (
    MIN_FACES,
    ShapeStatistics,
    measure_shapes,
)
from rayboot.models import Reconstructor, load_network
from rayboot.models.default_device import default_device

__all__ = ["DriftConfig", "DriftStatistics", "detect_drift", "measure_drift"]


class DriftConfig(FrozenConfig):
    """Limits on how far shapes may differ from the first teacher's of the same photos.

    They hold for the candidate's shapes of the photos and for those of rotated views.
    """

    num_photos: int = Field(64, ge=4)
    """Number of faces of the pairs data set on which the shape statistics are computed."""
    min_spread: float = Field(0.85, ge=0, le=1)
    """Fraction of the first teacher's spread that must remain: below it faces become alike. In
    sound rounds at least 0.95 remained on synthetic faces, and 0.9 on real ones."""
    max_mirror_loss: float = Field(0.05, ge=0, le=1)
    """Largest allowed decrease of the overlap between a shape and its mirror image's shape. In
    sound rounds it decreased by 0.003 at most, and mostly grew; by 0.04 in one of 24 photos and
    one epoch."""
    max_volume_change: float = Field(0.25, ge=0)
    """Fraction of the first teacher's volume by which shapes may grow or shrink. In sound rounds it
    was 0.02 at most on synthetic faces, and 0.13 on real ones."""


class DriftStatistics(NamedTuple):
    """Shape statistics of a network on faces of a pairs data set.

    Attributes:
        photos: statistics on the unrotated photos.
        views: statistics on one rotated view of each face; None in rounds of version 0.1, or where
            fewer than four faces have a view.
    """

    photos: ShapeStatistics
    views: ShapeStatistics | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Reads what :meth:`to_json` returned, or version 0.1 stored for photos alone."""
        if "photos" not in values:
            return cls(ShapeStatistics(**values))
        views = values["views"]
        return cls(
            ShapeStatistics(**values["photos"]), None if views is None else ShapeStatistics(**views)
        )

    def to_json(self) -> dict[str, dict[str, float] | None]:
        """Returns the statistics as nested dicts."""
        return {kind: part and part._asdict() for kind, part in self._asdict().items()}

    def by_kind(self) -> dict[str, ShapeStatistics]:
        """Returns the statistics that there are, by the kind of image."""
        return {kind: part for kind, part in self._asdict().items() if part is not None}


def measure_drift(
    weights: Mapping[str, Path], pairs: str, config: DriftConfig, manifest: str | None = None
) -> dict[str, DriftStatistics]:
    """Returns shape statistics of networks, by name, on faces of a pairs data set.

    Args:
        weights: weights files by name; all networks take crops of the pairs' size.
        pairs: URI of the data set.
        config: number of faces to use.
        manifest: digest of the manifest of the data set; None is the current one.
    """
    faces = _read_training_faces(pairs, config.num_photos, manifest)
    photos = np.stack([decode_photo(face["image"]) for face in faces])
    views = _choose_views(faces)
    device = str(default_device())
    return {
        name: _measure(load_network(path, device), photos, views) for name, path in weights.items()
    }


def _measure(
    network: Reconstructor, photos: np.ndarray, views: list[dict[str, Any]]
) -> DriftStatistics:
    on_photos = measure_shapes(network, photos)
    if len(views) < MIN_FACES:
        return DriftStatistics(on_photos)
    crops = np.stack([decode_photo(view["image"]) for view in views])
    transforms = np.array([view["transform"] for view in views], np.float64).reshape(-1, 3, 4)
    return DriftStatistics(on_photos, measure_shapes(network, crops, transforms))


def _read_training_faces(pairs: str, count: int, manifest: str | None) -> list[dict[str, Any]]:
    """Returns the first ``count`` training faces, ordered by name."""
    index = index_faces(pairs, "train", manifest).slice(0, count)
    return list(read_faces(pairs, index, "occupancy"))


def _choose_views(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns one view of each face that has any; neighbours take turns through the rotations."""
    rotated = [face["views"] for face in faces if face["views"]]
    return [views[number % len(views)] for number, views in enumerate(rotated)]


def detect_drift(first: ShapeStatistics, candidate: DriftStatistics, config: DriftConfig) -> str:
    """Describes which statistics exceed their limits; returns "" where none does.

    Args:
        first: statistics of the first teacher on photos.
        candidate: statistics of the candidate on the same photos, and on views of them.
        config: the limits.
    """
    faults = [
        f"{fault} (on {kind})"
        for kind, part in candidate.by_kind().items()
        for fault in _find_faults(first, part, config)
    ]
    return "; ".join(faults)


def _find_faults(
    first: ShapeStatistics, candidate: ShapeStatistics, config: DriftConfig
) -> list[str]:
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
    return faults
