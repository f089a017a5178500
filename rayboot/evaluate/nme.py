"""Normalised mean error of a reconstructed shape.

The mean distance from points of the true face to the closest points of the
prediction, over the distance of the true outer eye corners in 3D. What one
image leaves unknown, the placement, is taken out by rigid ICP without scale.
"""

from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from rayboot.errors import ShapeError
from rayboot.geometry.alignment import Similarity, align_nearest
from rayboot.geometry.mesh import Mesh

__all__ = ["Alignment", "nme", "surface_distances"]

Alignment = Literal["icp", "correspondence", "none"]

_ICP_POINTS = 1000
"""Points of the truth that take part in ICP; all are measured afterwards."""


def nme(
    predicted: Mesh | np.ndarray,
    truth: Mesh | np.ndarray,
    interocular: float,
    align: Alignment = "icp",
) -> float:
    """Normalised mean error, truth to prediction.

    Args:
        predicted: mesh or (M, 3) vertices of the reconstruction.
        truth: mesh or (N, 3) vertices of the true face region, same unit.
        interocular: 3D distance of the true outer eye corners, same unit.
        align: ``icp`` measures after rigid ICP; ``correspondence`` uses ICP only
            to find which points belong together and measures where the shapes
            were; ``none`` does without.

    Returns:
        The error as a share of ``interocular``; 0.05 is 5 %.

    Raises:
        ShapeError: no points, or an interocular distance that is not positive.
    """
    points, target = _vertices(truth, "truth"), _vertices(predicted, "predicted")
    if not interocular > 0:
        raise ShapeError(f"the interocular distance must be positive, got {interocular}")
    return float(surface_distances(target, points, align).mean() / interocular)


def surface_distances(
    predicted: np.ndarray, truth: np.ndarray, align: Alignment = "icp"
) -> np.ndarray:
    """Distance (N,) of each truth point (N, 3) to the prediction (M, 3), aligned as asked."""
    tree = cKDTree(predicted)
    if align == "none":
        return tree.query(truth)[0]
    sample = truth[:: max(1, len(truth) // _ICP_POINTS)]
    # The depth of a solid is arbitrary: start with the fronts at one depth.
    start = np.array(
        [0.0, 0.0, np.quantile(predicted[:, 2], 0.98) - np.quantile(truth[:, 2], 0.98)]
    )
    motion, _ = align_nearest(
        sample, predicted, initial=Similarity(1.0, np.eye(3), start), tree=tree
    )
    distance, nearest = tree.query(motion.apply(truth))
    if align == "icp":
        return distance
    return np.linalg.norm(truth - predicted[nearest], axis=1)


def _vertices(shape: Mesh | np.ndarray, name: str) -> np.ndarray:
    vertices = np.asarray(shape.vertices if isinstance(shape, Mesh) else shape, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 3:
        raise ShapeError(f"{name} must be a mesh or (N, 3) vertices, got {vertices.shape}")
    return vertices
