"""Least-squares alignment of corresponding points.

Points are rows, N of them; a rotation acts as ``points @ rotation.T``. Lengths
are pixels unless stated otherwise.
"""

from typing import NamedTuple

import numpy as np

from rayboot.errors import DegenerateInputError, ShapeError

__all__ = ["Similarity", "fit_similarity"]


class Similarity(NamedTuple):
    """The similarity ``points -> scale * points @ rotation.T + translation``.

    Attributes:
        scale: target units per source unit.
        rotation: (3, 3) of determinant +1.
        translation: (3,), in target units.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Returns the transformed points (N, 3)."""
        return np.asarray(self.scale * np.asarray(points) @ self.rotation.T + self.translation)

    def matrix(self) -> np.ndarray:
        """Returns the similarity as an affine (3, 4)."""
        return np.column_stack([self.scale * self.rotation, self.translation])


def fit_similarity(source: np.ndarray, target: np.ndarray, *, scale: bool = True) -> Similarity:
    """Returns the least-squares similarity that maps ``source`` onto ``target``.

    Reflections are excluded: a mirrored face is a failure.

    Args:
        source: (N, 3) points, N >= 3.
        target: (N, 3) points in the same order.
        scale: whether the scale is fitted; False fits a rigid motion.

    Raises:
        ShapeError: the arrays are not both (N, 3) with the same N.
        DegenerateInputError: the points of either set lie on one line.

    Source:
        Umeyama, TPAMI 13(4), 1991, with his sign correction.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim != 2 or source.shape != target.shape or source.shape[1] != 3:
        raise ShapeError(
            f"source and target must both be (N, 3) with the same N, got {source.shape} "
            f"and {target.shape}"
        )
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    u, singular, vt = np.linalg.svd((target - target_mean).T @ centred)
    if singular[1] <= 1e-9 * max(singular[0], 1e-300):
        raise DegenerateInputError(
            f"{len(source)} points on one line do not determine a rotation; "
            "give at least three that are not collinear"
        )
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    factor = float((singular * signs).sum() / np.square(centred).sum()) if scale else 1.0
    return Similarity(factor, rotation, target_mean - factor * rotation @ source_mean)
