"""Pose of a face solid: normal of the symmetry plane, gaze and up.

The paper's method takes them from the covariance of the vertices. That fails
where the solid is about as deep as it is wide: two eigenvalues coincide and the
axes mix. Here the covariance only initialises the search. The symmetry plane is
refined by registering the solid with its own reflection. Symmetry determines
the gaze only up to the plane in which it lies; the mean face, registered to the
solid, determines the rest.
"""

from typing import Literal, NamedTuple

import numpy as np

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.alignment import PointSurface, Similarity, build_point_surface
from rayboot.geometry.mean_face import fit_mean_face

__all__ = ["FacePose", "estimate_pose"]

_MIN_VERTICES = 50

_NUM_POINTS = 1500
"""Approximate number of vertices that are used; more change the result by less than 0.1 degree."""

_COARSE_STRIDE = 4
"""Stride over these points in the coarse search; the final registration uses all."""

_TANGENTIAL_WEIGHT = 0.1
"""Weight of an error along the surface against one across it."""

_KEPT_FRACTION = 0.85
"""Fraction of the points that enter each step: points without a counterpart (an ear on one
side, noise) must not bias it."""

_MAX_STEPS = 40

_COARSE_TOLERANCE_DEG, _FINE_TOLERANCE_DEG = 0.1, 0.01
"""A registration ends with a step smaller than this."""


class FacePose(NamedTuple):
    """Axes of a face, unit vectors (3,) float64 in the frame of the crop.

    Attributes:
        symmetry_normal: normal of the plane of bilateral symmetry, towards +x.
        gaze: straight ahead; the backplane is orthogonal to it.
        up: ``gaze x symmetry_normal``.
        centroid: (3,) mean of the vertices, px.
        confidence: from 0 (the axes are arbitrary) to 1.
        mean_face: similarity from the mean face to the solid; None where it was not registered.
    """

    symmetry_normal: np.ndarray
    gaze: np.ndarray
    up: np.ndarray
    centroid: np.ndarray
    confidence: float
    mean_face: Similarity | None = None


def estimate_pose(
    vertices: np.ndarray, method: Literal["refined", "covariance"] = "refined"
) -> FacePose:
    """Returns the pose of a face solid that looks roughly (within 45 degrees) at the camera.

    Args:
        vertices: (N, 3), px, of the solid's whole surface or of its front.
        method: ``refined``, or the paper's ``covariance`` alone.

    Returns:
        The axes, with a confidence: for ``covariance`` from the gap between the eigenvalues,
        for ``refined`` from how well the solid matches its reflection and the mean face.

    Raises:
        ShapeError: the vertices are not (N, 3), or fewer than 50.
        DegenerateInputError: the vertices lie on a line or plane.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < _MIN_VERTICES:
        raise ShapeError(f"expected at least {_MIN_VERTICES} vertices (N, 3), got {vertices.shape}")
    centroid = vertices.mean(axis=0)
    axes, gap = _principal_axes(vertices - centroid)
    if method == "covariance":
        return FacePose(axes[0], axes[2], axes[1], centroid, gap)
    # An even stride is deterministic and keeps the surface's density.
    points = (vertices - centroid)[:: max(1, len(vertices) // _NUM_POINTS)]
    size = float(np.sqrt(np.square(points).sum(axis=1).mean()))
    surface = build_point_surface(points)
    normal, asymmetry = _refine_normal(points, surface, axes[0])
    fitted, misfit = fit_mean_face(surface, normal)
    gaze = fitted.rotation[:, 2]
    up = np.cross(gaze, normal)
    # Residuals are relative to the solid's size; at a tenth of it the shape is not a face.
    confidence = float(np.clip(1 - 10 * max(asymmetry, misfit) / size, 0, 1))
    mean_face = fitted._replace(translation=fitted.translation + centroid)
    return FacePose(normal, gaze, up, centroid, confidence, mean_face)


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the rows normal, up, gaze from the covariance, and the gap of its eigenvalues.

    The eigenvectors are assigned to the axes by the frame: the face is upright
    and looks roughly at the camera.
    """
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    if values[0] <= 1e-9 * values[2]:
        raise DegenerateInputError("the vertices lie on a plane or line; a face solid was expected")
    gap = float(min(values[1] / values[0], values[2] / values[1]) - 1)
    rows = vectors.T
    best = max(
        ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)),
        key=lambda order: float(np.abs(rows[list(order)]).trace()),
    )
    axes = rows[list(best)]
    axes = axes * np.where(np.diag(axes) < 0, -1.0, 1.0)[:, None]
    return axes, min(gap, 1.0)


def _refine_normal(
    points: np.ndarray, surface: PointSurface, start: np.ndarray
) -> tuple[np.ndarray, float]:
    """Returns the normal of the plane that best reflects the solid onto itself, and the residual.

    The residual is in px. The search starts with a grid of directions: where the
    axes have mixed, the covariance's normal is not near any minimum at all.
    """
    coarse = points[::_COARSE_STRIDE]
    angles = np.radians(np.arange(-45, 46, 7.5))
    tilts = np.radians(np.arange(-20, 21, 10.0))
    grid = [
        np.array([np.cos(a) * np.cos(b), np.sin(b), -np.sin(a) * np.cos(b)])
        for a in angles
        for b in tilts
    ]
    candidates = np.stack([start, *grid])
    best = np.argsort(_asymmetries(coarse[::2], surface, candidates), kind="stable")[:3]
    coarse_fits = [
        _register_reflection(coarse, surface, candidates[index], _COARSE_TOLERANCE_DEG)
        for index in best
    ]
    start, _ = min(coarse_fits, key=lambda candidate: candidate[1])
    normal, residual = _register_reflection(points, surface, start, _FINE_TOLERANCE_DEG)
    return normal * (1.0 if normal[0] >= 0 else -1.0), residual


def _reflect(points: np.ndarray, normal: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Returns the points (N, 3) reflected at the plane ``p @ normal == offset``."""
    return np.asarray(points - 2 * np.outer(points @ normal - offset, normal))


def _asymmetries(points: np.ndarray, surface: PointSurface, normals: np.ndarray) -> np.ndarray:
    """Returns the mean distance (K,) of the points' reflections to the solid for K normals."""
    across = points @ normals.T
    reflected = points[:, None] - 2 * across[..., None] * normals
    # This only ranks starting points, so a neighbour 1.5 times as far as the nearest suffices.
    distance, _ = surface.tree.query(reflected, eps=0.5)
    return np.asarray(distance.mean(axis=0))


def _register_reflection(
    points: np.ndarray, surface: PointSurface, normal: np.ndarray, tolerance_deg: float
) -> tuple[np.ndarray, float]:
    """Alternates nearest points and the plane that best reflects the solid onto itself.

    Each iteration is one Gauss-Newton step over the two directions in which the
    normal can rotate and the plane's offset; errors across the surface count most.

    Returns:
        The unit normal (3,), and the mean distance of the points that were kept, px.
    """
    offset, residual = 0.0, np.inf
    count = round(_KEPT_FRACTION * len(points))
    squared_weight = _TANGENTIAL_WEIGHT**2
    for _ in range(_MAX_STEPS):
        reflected = _reflect(points, normal, offset)
        distance, nearest = surface.tree.query(reflected)
        kept = np.argpartition(distance, count - 1)[:count]
        residual = float(distance[kept].mean())
        error = surface.points[nearest[kept]] - reflected[kept]
        target_normals = surface.normals[nearest[kept]]
        tangents = np.linalg.svd(normal[None])[2][1:]
        derivatives = np.empty((3, count, 3))
        for index, tangent in enumerate(tangents):
            tilted = np.outer(points[kept] @ tangent, normal)
            derivatives[index] = -2 * (tilted + np.outer(points[kept] @ normal - offset, tangent))
        derivatives[2] = 2 * normal
        across, along = (derivatives * target_normals).sum(axis=-1), derivatives.reshape(3, -1)
        step = np.linalg.lstsq(
            across @ across.T + squared_weight * along @ along.T,
            across @ (error * target_normals).sum(axis=-1) + squared_weight * along @ error.ravel(),
            rcond=None,
        )[0]
        normal = normal + step[:2] @ tangents
        normal, offset = normal / np.linalg.norm(normal), offset + float(step[2])
        if np.degrees(np.abs(step[:2]).max()) < tolerance_deg:
            break
    return normal, residual
