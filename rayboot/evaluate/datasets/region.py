"""Regions: which vertices of a true mesh are measured.

A scan or a morphable model includes ears and neck, which the reconstruction of a face does not
contain. The choice of vertices changes every mean error, so it is part of a dataset's config.
"""

import io
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.io
from pydantic import PositiveFloat, model_validator

from rayboot.config import FrozenConfig, Uri
from rayboot.errors import DegenerateInputError, RequestError
from rayboot.geometry.landmarks68 import interocular_distance
from rayboot.io.retry import retry_io
from rayboot.io.storage import read_bytes

__all__ = ["RegionConfig", "read_region_file", "region_mask"]

_NOSE_TIP = 30
"""Index of the landmark at the tip of the nose, counted from 0."""


class RegionConfig(FrozenConfig):
    """All vertices, those near the tip of the nose, or those that a file selects."""

    kind: Literal["all", "radius", "file"] = "all"
    """How the region is given: the whole face, by a distance or by a file."""
    radius: PositiveFloat | None = None
    """Radius of kind ``radius``: 3D distance from the tip of the nose, in outer eye distances."""
    own_radius: PositiveFloat | None = None
    """Alternative radius of kind ``radius``, in the unit of the mesh, such as a scan's mm."""
    file: Uri | None = None
    """File of kind ``file``: URI of a ``.mat`` with one logical array, one value per vertex, or of
    a ``.npy`` of bools or of indices counted from 0."""

    @model_validator(mode="after")
    def _require_fields_of_kind(self) -> "RegionConfig":
        fields = {"radius": ("radius", "own_radius"), "file": ("file",)}.get(self.kind, ())
        given = [
            name for name in ("radius", "own_radius", "file") if getattr(self, name) is not None
        ]
        if len(given) != min(len(fields), 1) or not set(given) <= set(fields):
            expected = " or ".join(fields) or "no further key"
            raise ValueError(
                f"region of kind {self.kind} requires {expected}, got {', '.join(given) or 'none'}"
            )
        return self

    def describe(self) -> str:
        """Returns the region in words, for a report."""
        if self.radius is not None:
            return f"{self.radius:g} outer eye distances about the tip of the nose"
        if self.own_radius is not None:
            return f"{self.own_radius:g} of the mesh's own unit about the tip of the nose"
        return "every vertex" if self.file is None else f"vertices of {self.file}"


def region_mask(region: RegionConfig, vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Selects the vertices of a mesh that are measured.

    :func:`rayboot.geometry.mesh.extract_submesh` cuts the mesh to them.

    Args:
        region: Region that is measured.
        vertices: (N, 3), vertices of the whole mesh, any frame and unit.
        landmarks: (68, 3), iBUG order, in the same frame.

    Returns:
        (N,) bool, True for vertices that are measured.

    Raises:
        RequestError: The region's file is missing, or does not match the mesh.
        DegenerateInputError: Fewer than three vertices are kept.
    """
    if region.file is not None:
        kept = read_region_file(region.file, len(vertices))
    elif region.kind == "radius":
        radius = region.own_radius or (region.radius or 0.0) * interocular_distance(landmarks)
        kept = np.linalg.norm(vertices - landmarks[_NOSE_TIP], axis=1) <= radius
    else:
        kept = np.ones(len(vertices), bool)
    if kept.sum() < 3:
        raise DegenerateInputError(
            f"the region ({region.describe()}) keeps {kept.sum()} of {len(kept)} vertices, "
            "expected at least 3; are landmarks and mesh of one frame and unit?"
        )
    return kept


def read_region_file(uri: str, num_vertices: int) -> np.ndarray:
    """Returns the vertices (N,) bool that a file selects.

    Args:
        uri: URI of a ``.mat`` or ``.npy``.
        num_vertices: Number N of the mesh's vertices.

    Raises:
        RequestError: The file is missing or holds no such array; the message names its content.
    """
    if uri.lower().endswith(".npy"):
        return _mask_from_array(_read_file(uri), uri, num_vertices)
    return _mask_from_mat(_read_file(uri), uri, num_vertices)


@lru_cache(maxsize=4)
def _read_file(uri: str) -> Any:
    try:
        payload = retry_io(lambda: read_bytes(uri), uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RequestError(f"region {uri}: there is no such file") from error
    try:
        if uri.lower().endswith(".npy"):
            return np.load(io.BytesIO(payload), allow_pickle=False)
        return scipy.io.loadmat(io.BytesIO(payload))
    except Exception as error:  # SciPy and NumPy raise any exception on a damaged file
        raise RequestError(
            f"region {uri}: expected a .mat or .npy file, but it cannot be read ({error})"
        ) from error


def _mask_from_mat(values: dict[str, Any], uri: str, num_vertices: int) -> np.ndarray:
    arrays = {
        name: np.asarray(value) for name, value in values.items() if not name.startswith("__")
    }
    fitting = {name: value for name, value in arrays.items() if value.size == num_vertices}
    if len(fitting) != 1:
        found = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
        raise RequestError(
            f"region {uri}: expected one logical array of {num_vertices} values, one per vertex, "
            f"got {found or 'nothing'}"
        )
    return _as_mask(next(iter(fitting.values())), uri)


def _mask_from_array(values: np.ndarray, uri: str, num_vertices: int) -> np.ndarray:
    if values.dtype == bool:
        if values.size != num_vertices:
            raise RequestError(
                f"region {uri}: expected {num_vertices} bools, one per vertex, got {values.shape}"
            )
        return _as_mask(values, uri)
    indices = values.ravel()
    if not np.issubdtype(values.dtype, np.integer):
        raise RequestError(f"region {uri}: expected bools or integer indices, got {values.dtype}")
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= num_vertices:
        actual = f"{indices.min()} to {indices.max()}" if len(indices) else "none"
        raise RequestError(
            f"region {uri}: expected indices from 0 to {num_vertices - 1}, got {actual}"
        )
    kept = np.zeros(num_vertices, bool)
    kept[indices] = True
    return kept


def _as_mask(values: np.ndarray, uri: str) -> np.ndarray:
    # MATLAB stores logicals as bytes, and some scripts store them as doubles.
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise RequestError(f"region {uri}: expected a logical array with values 0 and 1 only")
    return values.ravel().astype(bool)
