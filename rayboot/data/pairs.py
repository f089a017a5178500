"""Reading a pairs data set as a Ray data set, one row per view."""

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rayboot.data.images import decode_photo
from rayboot.data.pair_index import face_files
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.geometry.volume import transform_volume, unpack_occupancy
from rayboot.io.storage import arrow_filesystem, join_uri

if TYPE_CHECKING:
    import ray.data

__all__ = ["read_pairs"]

_COLUMNS = ["face_id", "image", "shape", "views"]

Targets = Literal["packed", "transformed", "surface_depth"]


def read_pairs(
    uri: str,
    num_views: int | None = None,
    targets: Targets = "packed",
    *,
    seed: int = 0,
    split: Split | None = None,
    include_source: bool = False,
    manifest: str | None = None,
) -> "ray.data.Dataset":
    """Reads the views of a finished pairs data set; Ray must be initialised.

    Args:
        uri: URI of the data set.
        num_views: Number of views to draw for each face; None reads all.
        targets: ``packed`` gives the source's bits (``occupancy``, with ``shape`` and the
            view's ``transform``); ``transformed`` gives the view's own volume; ``surface_depth``
            gives the source's depth maps (with ``shape`` and ``transform``), from which
            :func:`rayboot.models.soft_occupancy.soft_occupancy` makes the view's soft volume.
        seed: Seed of the draw; every worker draws the same views of a face.
        split: Split to read; None reads both.
        include_source: Whether each face also has a row for its unrotated photo (``is_source``).
        manifest: Digest of the manifest whose faces are read; None is the current one. A data set
            that has grown since gives the same rows again.

    Returns:
        Rows ``face_id``, ``image`` (H, W, 3) uint8, ``yaw_deg``, ``pitch_deg``, ``transform``
        (12,) float64 row-major (3, 4), ``shape`` (3,), ``is_source``, and either ``occupancy``,
        bytes or (D, H, W) bool, or ``surface_depth``, (3, h, w) float32.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: the data set contains no face, or no depth maps although they are asked for,
            or ``num_views`` is below 1, or there is no such manifest.
    """
    import ray.data
    from ray.data.expressions import col

    if num_views is not None and num_views < 1:
        raise RequestError(f"num_views must be 1 or more, or None for all views; got {num_views}")
    filesystem, path = arrow_filesystem(uri)
    paths = [join_uri(path, name) for name in face_files(uri, manifest)]
    faces = ray.data.read_parquet(paths, filesystem=filesystem, partitioning=None)
    source = "surface_depth" if targets == "surface_depth" else "occupancy"
    schema = faces.schema()
    if schema is not None and source not in schema.names:
        raise RequestError(
            f"{uri}: has no surface_depth, which data sets of schema version 3 contain; generate "
            "the pairs again"
        )
    faces = faces.select_columns([*_COLUMNS, source, "split"])
    if split is not None:
        faces = faces.filter(expr=col("split") == split)
    return faces.flat_map(_UnnestViews(num_views, seed, include_source, targets))


class _UnnestViews:
    """Converts the row of a face to the rows of its views."""

    def __init__(
        self, num_views: int | None, seed: int, include_source: bool, targets: Targets
    ) -> None:
        self._num_views, self._seed = num_views, seed
        self._include_source, self._targets = include_source, targets

    def __call__(self, face: dict[str, Any]) -> list[dict[str, Any]]:
        views = [{**view, "is_source": False} for view in self._draw(face)]
        if self._include_source:
            unrotated = {"yaw_deg": 0.0, "pitch_deg": 0.0, "transform": np.eye(3, 4).ravel()}
            views.append({**unrotated, "image": face["image"], "is_source": True})
        return [self._row(face, view) for view in views]

    def _draw(self, face: dict[str, Any]) -> list[dict[str, Any]]:
        views = list(face["views"])
        if self._num_views is None or self._num_views >= len(views):
            return views
        key = hashlib.sha256(f"{self._seed}\0{face['face_id']}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(key[:8], "big"))
        return [views[i] for i in sorted(rng.choice(len(views), self._num_views, replace=False))]

    def _row(self, face: dict[str, Any], view: dict[str, Any]) -> dict[str, Any]:
        shape = np.asarray(face["shape"], np.int32)
        transform = np.asarray(view["transform"], np.float64)
        return {
            **self._target(face, transform.reshape(3, 4)),
            "face_id": face["face_id"],
            "image": decode_photo(view["image"]),
            "shape": shape,
            "yaw_deg": float(view["yaw_deg"]),
            "pitch_deg": float(view["pitch_deg"]),
            "transform": transform,
            "is_source": view["is_source"],
        }

    def _target(self, face: dict[str, Any], transform: np.ndarray) -> dict[str, Any]:
        depth, height, width = (int(length) for length in face["shape"])
        if self._targets == "surface_depth":
            return {"surface_depth": unpack_surface_depth(face["surface_depth"], width)}
        if self._targets == "packed":
            return {"occupancy": face["occupancy"]}
        volume = unpack_occupancy(face["occupancy"], (depth, height, width))
        return {"occupancy": transform_volume(volume, transform)}
