"""The Basel Face Model in 3DDFA's layout; users have to obtain it themselves.

The files are ``Model_Shape.mat`` and ``Model_Exp.mat``. A shape is ``mu_shape + mu_exp + w @ shape
+ w_exp @ expression``, ordered x1 y1 z1 x2 ..., in micrometres, with y up and z along the gaze. The
coefficients of AFLW2000-3D multiply the bases directly; ``sigma`` is not used.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy.io

from rayboot.errors import DegenerateInputError, RequestError
from rayboot.evaluate.datasets.region import RegionConfig, region_mask
from rayboot.geometry.landmarks68 import OUTER_EYE_CORNERS
from rayboot.geometry.mesh import Mesh, extract_submesh
from rayboot.io.storage import as_local_file, join_uri

__all__ = ["ShapeModel", "load_shape_model", "rotation_of_fit"]

_SHAPE, _EXPRESSION = "Model_Shape.mat", "Model_Exp.mat"


class ShapeModel(NamedTuple):
    """A linear model of a region's K vertices, followed by the two outer eye corners.

    Attributes:
        mean: (3 * (K + 2),) float32, mean shape, micrometres.
        basis: (3 * (K + 2), P + E) float32, basis of shape, then of expression. It is cut to the
            region, so that a face takes one product.
        num_shape: Number P of shape coefficients.
        triangles: (F, 3) int32, indices of the K vertices, counter-clockwise seen from outside.
    """

    mean: np.ndarray
    basis: np.ndarray
    num_shape: int
    triangles: np.ndarray

    @property
    def num_expression(self) -> int:
        """Number E of expression coefficients."""
        return int(self.basis.shape[1]) - self.num_shape

    def vertices(self, shape: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns a face in the model's frame, micrometres.

        Args:
            shape: (P,) coefficients of shape.
            expression: (E,) coefficients of expression.

        Returns:
            The region's vertices (K, 3) and the outer eye corners (2, 3), float64.
        """
        coefficients = np.concatenate([shape, expression]).astype(np.float32)
        points = (self.mean + self.basis @ coefficients).reshape(-1, 3).astype(np.float64)
        return points[:-2], points[-2:]


def rotation_of_fit(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Returns the rotation (3, 3) of AFLW2000-3D's angles (radians).

    It is ``Rx(pitch) @ Ry(yaw) @ Rz(roll)``, with other signs than
    :func:`rayboot.geometry.camera.rotation_yaw_pitch`.
    """
    angles = np.array([pitch, yaw, roll])
    (cos_p, cos_y, cos_r), (sin_p, sin_y, sin_r) = np.cos(angles), np.sin(angles)
    about_x: np.ndarray = np.array([[1, 0, 0], [0, cos_p, sin_p], [0, -sin_p, cos_p]])
    about_y: np.ndarray = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    about_z: np.ndarray = np.array([[cos_r, sin_r, 0], [-sin_r, cos_r, 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


# The files of the real model take 430 MB while they are read, and 52 MB once cut to a face.
@lru_cache(maxsize=1)
def load_shape_model(uri: str, region: RegionConfig) -> ShapeModel:
    """Loads the model in a folder, cut to a region of its mean face; the process caches it.

    Args:
        uri: URI of the folder.
        region: Region of the mean face.

    Raises:
        RequestError: A file is missing or has another layout, or the region does not match.
    """
    shape = _read(uri, _SHAPE, ("mu_shape", "w", "tri", "keypoints"))
    expression = _read(uri, _EXPRESSION, ("mu_exp", "w_exp"))
    mean = _column(shape, "mu_shape", uri) + _column(expression, "mu_exp", uri)
    bases = _basis(shape, "w", len(mean), uri), _basis(expression, "w_exp", len(mean), uri)
    vertices = mean.reshape(-1, 3)
    keypoints = _indices(shape["keypoints"].ravel(), len(vertices), "keypoints", uri)
    if len(keypoints) != 68:
        raise RequestError(f"{uri}/{_SHAPE}: expected 68 keypoints, got {len(keypoints)}")
    triangles = _triangles(shape["tri"], vertices, uri)
    try:
        kept = region_mask(region, vertices, vertices[keypoints])
    except DegenerateInputError as error:
        raise RequestError(f"shape model {uri}: {error}") from error
    part = extract_submesh(Mesh(vertices, triangles), kept)
    rows = np.concatenate([np.flatnonzero(kept), keypoints[list(OUTER_EYE_CORNERS)]])
    coordinates = (3 * rows[:, None] + np.arange(3)).ravel()
    basis = np.hstack([base[coordinates].astype(np.float32) for base in bases])
    return ShapeModel(mean[coordinates].astype(np.float32), basis, bases[0].shape[1], part.faces)


def _read(uri: str, file_name: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    file = join_uri(uri, file_name)
    try:
        # Textures, which are as large as the shapes, are not read.
        with as_local_file(file) as path, path.open("rb") as opened:
            values: dict[str, Any] = scipy.io.loadmat(opened, variable_names=list(names))
    except OSError as error:
        raise RequestError(
            f"shape model {file} cannot be opened ({error}); obtain the Basel Face Model under its "
            f"licence, and 3DDFA's {_SHAPE} and {_EXPRESSION} made from it"
        ) from error
    except Exception as error:  # SciPy raises any exception on a damaged .mat
        raise RequestError(
            f"shape model {file}: expected a MATLAB file of version 7 or older, but it cannot be "
            f"read ({error})"
        ) from error
    missing = [key for key in names if key not in values]
    if missing:
        raise RequestError(f"shape model {file}: has no {', '.join(missing)}")
    return {key: np.asarray(values[key]) for key in names}


def _column(values: dict[str, np.ndarray], name: str, uri: str) -> np.ndarray:
    """Returns coordinates x1 y1 z1 x2 ... as (3 * N,) float64."""
    array = values[name].ravel().astype(np.float64)
    if len(array) == 0 or len(array) % 3 or not np.isfinite(array).all():
        raise RequestError(
            f"shape model {uri}: expected finite {name} (3 * N, 1), got {values[name].shape}"
        )
    return array


def _basis(values: dict[str, np.ndarray], name: str, length: int, uri: str) -> np.ndarray:
    array = values[name]
    if array.ndim != 2 or len(array) != length:
        raise RequestError(
            f"shape model {uri}: expected {name} ({length}, components), one row per value of the "
            f"mean, got {array.shape}"
        )
    return array


def _indices(values: np.ndarray, count: int, name: str, uri: str) -> np.ndarray:
    """Converts MATLAB's indices to indices that count from 0."""
    indices = values.astype(np.int64) - 1
    if indices.size == 0 or indices.min() < 0 or indices.max() >= count:
        raise RequestError(f"shape model {uri}: {name} must name vertices 1 to {count}")
    return indices


def _triangles(values: np.ndarray, vertices: np.ndarray, uri: str) -> np.ndarray:
    if values.ndim != 2 or values.shape[0] != 3:
        raise RequestError(f"shape model {uri}: expected tri (3, F), got {values.shape}")
    triangles = _indices(values, len(vertices), "tri", uri).T
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    # 3DDFA's triangles are clockwise. The model is open behind, so its normals sum to its gaze.
    if np.cross(b - a, c - a)[:, 2].sum() < 0:
        triangles = triangles[:, ::-1]
    return np.ascontiguousarray(triangles, np.int32)
