"""Alignment of corresponding points, and surfaces to register others on.

Points are rows, N of them; a rotation acts as ``points @ rotation.T``. Lengths
are pixels unless said otherwise.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from rayboot.errors import DegenerateInputError, ShapeError

__all__ = [
    "PointSurface",
    "Similarity",
    "fit_similarity",
    "oriented_points",
]


class Similarity(NamedTuple):
    """``points -> scale * points @ rotation.T + translation``."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Carries points (N, 3)."""
        return self.scale * np.asarray(points) @ self.rotation.T + self.translation

    def matrix(self) -> np.ndarray:
        """The same as an affine (3, 4)."""
        return np.column_stack([self.scale * self.rotation, self.translation])


def fit_similarity(source: np.ndarray, target: np.ndarray, *, scale: bool = True) -> Similarity:
    """Least-squares similarity that carries ``source`` onto ``target``.

    Reflections are excluded: a mirrored face is a failure.

    Args:
        source: (N, 3), N >= 3.
        target: (N, 3), in the same order.
        scale: False for a rigid motion.

    Raises:
        ShapeError: the arrays are not both (N, 3) with the same N.
        DegenerateInputError: the points of either set lie on one line.

    Source:
        Umeyama, TPAMI 13(4), 1991, with his sign correction.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim != 2 or source.shape != target.shape or source.shape[1] != 3:
        raise ShapeError(f"both sets must be (N, 3), got {source.shape} and {target.shape}")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    u, singular, vt = np.linalg.svd((target - target_mean).T @ centred)
    if singular[1] <= 1e-9 * max(singular[0], 1e-300):
        raise DegenerateInputError(f"{len(source)} points on one line fix no rotation")
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    factor = float((singular * signs).sum() / np.square(centred).sum()) if scale else 1.0
    return Similarity(factor, rotation, target_mean - factor * rotation @ source_mean)


class PointSurface(NamedTuple):
    """Points (N, 3) of a surface, their unit normals (of either sign), and their tree."""

    points: np.ndarray
    normals: np.ndarray
    tree: cKDTree

    def turned(self, rotation: np.ndarray) -> "PointSurface":
        """The same surface after ``points @ rotation.T``."""
        points = self.points @ rotation.T
        return PointSurface(points, self.normals @ rotation.T, cKDTree(points))


def oriented_points(points: np.ndarray, num_neighbours: int = 12) -> PointSurface:
    """A surface to register on; each normal is that of the plane through the nearest points.

    Args:
        points: (N, 3), at least four.
        num_neighbours: that span a plane.
    """
    tree = cKDTree(points)
    around = points[tree.query(points, k=min(num_neighbours, len(points)))[1]]
    around = around - around.mean(axis=1, keepdims=True)
    covariance = np.einsum("nki,nkj->nij", around, around)
    return PointSurface(points, np.linalg.eigh(covariance)[1][:, :, 0], tree)
