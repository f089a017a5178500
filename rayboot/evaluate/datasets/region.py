"""Which vertices of a true mesh are measured.

A scan or a morphable model goes back to ears and neck, which no reconstruction of a face
holds; what is kept moves every mean error, so it is part of a set's config.
"""

import io
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.io
from pydantic import PositiveFloat, model_validator

from rayboot.config import FrozenConfig
from rayboot.errors import DegenerateInputError, RequestError
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.io.retry import retry_io
from rayboot.io.storage import read_bytes

__all__ = ["RegionConfig", "read_region_file", "region_mask"]

_NOSE_TIP = 30
"""Of the 68 landmarks, counted from 0."""


class RegionConfig(FrozenConfig):
    """All vertices, those around the tip of the nose, or those that a file names."""

    kind: Literal["all", "radius", "file"] = "all"
    radius: PositiveFloat | None = None
    """Of ``radius``: 3D distance from the tip of the nose, in 3D outer eye distances."""
    own_radius: PositiveFloat | None = None
    """Instead of it: in the unit of the mesh, such as a scan's millimetres."""
    file: str | None = None
    """Of ``file``: URI of a ``.mat`` that holds one logical array, a value a vertex, or of a
    ``.npy`` of bools or of indices counted from 0."""

    @model_validator(mode="after")
    def _fields_are_of_the_kind(self) -> "RegionConfig":
        fields = {"radius": ("radius", "own_radius"), "file": ("file",)}.get(self.kind, ())
        given = [
            name for name in ("radius", "own_radius", "file") if getattr(self, name) is not None
        ]
        if len(given) != min(len(fields), 1) or not set(given) <= set(fields):
            wanted = " or ".join(fields) or "nothing else"
            raise ValueError(
                f"region of kind {self.kind} takes {wanted}, got {', '.join(given) or 'neither'}"
            )
        return self

    def describe(self) -> str:
        """The region in words, for a report."""
        if self.radius is not None:
            return f"{self.radius:g} outer eye distances about the tip of the nose"
        if self.own_radius is not None:
            return f"{self.own_radius:g} of the mesh's own unit about the tip of the nose"
        return "every vertex" if self.file is None else f"vertices of {self.file}"


def region_mask(region: RegionConfig, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The vertices of a mesh that are measured.

    Extract them with :func:`rayboot.geometry.mesh.extract_submesh`.

    Args:
        region: which.
        vertices: (N, 3) of the whole mesh, any frame and unit.
        landmarks: (68, 3) in iBUG order, in the same frame.

    Returns:
        (N,) bool.

    Raises:
        RequestError: the region's file is not there, or does not fit the mesh.
        DegenerateInputError: no three vertices are kept.
    """
    if region.file is not None:
        kept = read_region_file(region.file, len(vertices))
    elif region.kind == "radius":
        reach = region.own_radius or (region.radius or 0.0) * interocular_distance(landmarks)
        kept = np.linalg.norm(vertices - landmarks[_NOSE_TIP], axis=1) <= reach
    else:
        kept = np.ones(len(vertices), bool)
    if kept.sum() < 3:
        raise DegenerateInputError(
            f"the region ({region.describe()}) keeps {kept.sum()} of {len(kept)} vertices; are "
            "landmarks and mesh of one frame and unit?"
        )
    return kept


def read_region_file(uri: str, num_vertices: int) -> np.ndarray:
    """The vertices (N,) bool that a file names.

    Args:
        uri: of a ``.mat`` or ``.npy``.
        num_vertices: N, of the mesh.

    Raises:
        RequestError: it is not there or holds no such array; what was found is named.
    """
    if uri.lower().endswith(".npy"):
        return _from_array(_load(uri), uri, num_vertices)
    return _from_mat(_load(uri), uri, num_vertices)


@lru_cache(maxsize=4)
def _load(uri: str) -> Any:
    try:
        payload = retry_io(lambda: read_bytes(uri), uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RequestError(f"region {uri}: there is no such file") from error
    try:
        if uri.lower().endswith(".npy"):
            return np.load(io.BytesIO(payload), allow_pickle=False)
        return scipy.io.loadmat(io.BytesIO(payload))
    except Exception as error:  # of a damaged file SciPy and NumPy raise whatever they run into
        raise RequestError(f"region {uri}: no .mat or .npy that can be read ({error})") from error


def _from_mat(values: dict[str, Any], uri: str, num_vertices: int) -> np.ndarray:
    arrays = {
        name: np.asarray(value) for name, value in values.items() if not name.startswith("__")
    }
    fitting = {name: value for name, value in arrays.items() if value.size == num_vertices}
    if len(fitting) != 1:
        found = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
        raise RequestError(
            f"region {uri}: expected one logical array of {num_vertices} values, a value a vertex, "
            f"got {found or 'nothing'}"
        )
    return _flags(next(iter(fitting.values())), uri)


def _from_array(values: np.ndarray, uri: str, num_vertices: int) -> np.ndarray:
    if values.dtype == bool:
        if values.size != num_vertices:
            raise RequestError(
                f"region {uri}: expected {num_vertices} bools, a value a vertex, got {values.shape}"
            )
        return _flags(values, uri)
    indices = values.ravel()
    if not np.issubdtype(values.dtype, np.integer):
        raise RequestError(f"region {uri}: expected bools or whole indices, got {values.dtype}")
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= num_vertices:
        reach = f"{indices.min()} to {indices.max()}" if len(indices) else "none"
        raise RequestError(
            f"region {uri}: expected indices from 0 to {num_vertices - 1}, got {reach}"
        )
    kept = np.zeros(num_vertices, bool)
    kept[indices] = True
    return kept


def _flags(values: np.ndarray, uri: str) -> np.ndarray:
    # MATLAB's logicals come as bytes, and some save them as doubles.
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise RequestError(f"region {uri}: expected a logical array, of 0 and 1 alone")
    return values.ravel().astype(bool)
