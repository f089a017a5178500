"""Pose of a face solid: symmetry plane, gaze and up.

The method takes them from the covariance of the vertices. That fails where the
solid is about as deep as it is wide: two eigenvalues meet and the axes mix. So
the covariance only starts the search here; the symmetry plane is then refined
by registering the solid with its own reflection, and the gaze, of which
symmetry says nothing but the plane it lies in, by registering a mean face.
"""

from typing import Literal, NamedTuple

import numpy as np

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.alignment import PointSurface, Similarity, oriented_points
from rayboot.geometry.mean_face import fit_mean_face

__all__ = ["FacePose", "estimate_pose"]

_NUM_POINTS = 1500
"""Vertices used; more do not move the result by a tenth of a degree."""

_COARSENESS = 4
"""The search looks at every fourth of them; the end at all."""


_SLIDE = 0.1
"""Weight of an error along the surface against one across it."""

_KEEP = 0.85
"""Share of the points that takes part in a step: what has no counterpart (an ear on one
side, noise) may not pull."""

_NUM_STEPS = 40

_ROUGH_DEG, _FINE_DEG = 0.1, 0.01
"""A search ends with a step smaller than this."""


class FacePose(NamedTuple):
    """Axes of a face, unit vectors (3,) float64 in the frame of the crop.

    Attributes:
        symmetry_normal: normal of the plane of bilateral symmetry, towards +x.
        gaze: straight ahead; the backplane is orthogonal to it.
        up: ``gaze x symmetry_normal``.
        centroid: (3,) of the vertices, px.
        confidence: 0 (axes are arbitrary) to 1.
        mean_face: carries the mean face onto the solid; None where it was not laid there.
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
    """Pose of a face solid that looks roughly (within 45 degrees) at the camera.

    Args:
        vertices: (N, 3), px, of the solid's whole surface or of its front.
        method: ``refined``, or the paper's ``covariance`` alone.

    Returns:
        The axes, with a confidence from the eigenvalues' gap and, when refined,
        from how well the solid meets its reflection and the mean face.

    Raises:
        ShapeError: not (N, 3), or fewer than 50 vertices.
        DegenerateInputError: the vertices lie on a line or plane.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 50:
        raise ShapeError(f"expected at least 50 vertices (N, 3), got {vertices.shape}")
    centroid = vertices.mean(axis=0)
    axes, gap = _principal_axes(vertices - centroid)
    if method == "covariance":
        return FacePose(axes[0], axes[2], axes[1], centroid, gap)
    # An even stride is deterministic and keeps the surface's density.
    points = (vertices - centroid)[:: max(1, len(vertices) // _NUM_POINTS)]
    size = float(np.sqrt(np.square(points).sum(axis=1).mean()))
    surface = oriented_points(points)
    normal, asymmetry = _refine_normal(points, surface, axes[0])
    fitted, misfit = fit_mean_face(surface, normal)
    gaze = fitted.rotation[:, 2]
    up = np.cross(gaze, normal)
    # Residuals in units of the solid's size; a tenth of it is no face any more.
    confidence = float(np.clip(1 - 10 * max(asymmetry, misfit) / size, 0, 1))
    placed = fitted._replace(translation=fitted.translation + centroid)
    return FacePose(normal, gaze, up, centroid, confidence, placed)


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows normal, up, gaze from the covariance, and how far apart its eigenvalues are.

    Which eigenvector is which follows from the frame: the face looks roughly at
    the camera, upright.
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
    """Normal of the plane that best carries the solid onto itself, and the residual, px.

    A grid of directions comes first: where the axes have mixed, the covariance's
    answer lies in no valley of the residual at all.
    """
    coarse = points[::_COARSENESS]
    angles = np.radians(np.arange(-45, 46, 7.5))
    tilts = np.radians(np.arange(-20, 21, 10.0))
    grid = [
        np.array([np.cos(a) * np.cos(b), np.sin(b), -np.sin(a) * np.cos(b)])
        for a in angles
        for b in tilts
    ]
    candidates = np.stack([start, *grid])
    best = np.argsort(_asymmetries(coarse[::2], surface, candidates), kind="stable")[:3]
    rough = [_register_reflection(coarse, surface, candidates[index], _ROUGH_DEG) for index in best]
    start, _ = min(rough, key=lambda found: found[1])
    normal, residual = _register_reflection(points, surface, start, _FINE_DEG)
    return normal * (1.0 if normal[0] >= 0 else -1.0), residual


def _reflect(points: np.ndarray, normal: np.ndarray, offset: float = 0.0) -> np.ndarray:
    return points - 2 * np.outer(points @ normal - offset, normal)


def _asymmetries(points: np.ndarray, surface: PointSurface, normals: np.ndarray) -> np.ndarray:
    """Mean distance (K,) of the points' reflections to the solid, for each of K normals."""
    across = points @ normals.T
    reflected = points[:, None] - 2 * across[..., None] * normals
    # Only for choosing where to start: half as far again as the nearest point will do.
    distance, _ = surface.tree.query(reflected, eps=0.5)
    return distance.mean(axis=0)


def _register_reflection(
    points: np.ndarray, surface: PointSurface, normal: np.ndarray, tolerance_deg: float
) -> tuple[np.ndarray, float]:
    """Alternates nearest points and the plane that best reflects the solid onto itself.

    One Gauss-Newton step each, over the two directions in which the normal can
    turn and the plane's offset; errors across the surface count most.
    """
    offset, residual = 0.0, np.inf
    count = round(_KEEP * len(points))
    for _ in range(_NUM_STEPS):
        reflected = _reflect(points, normal, offset)
        distance, nearest = surface.tree.query(reflected)
        kept = np.argpartition(distance, count - 1)[:count]
        residual = float(distance[kept].mean())
        error = surface.points[nearest[kept]] - reflected[kept]
        facing = surface.normals[nearest[kept]]
        sides = np.linalg.svd(normal[None])[2][1:]
        moved = np.empty((3, count, 3))
        for index, side in enumerate(sides):
            turned = np.outer(points[kept] @ side, normal)
            moved[index] = -2 * (turned + np.outer(points[kept] @ normal - offset, side))
        moved[2] = 2 * normal
        across, along = (moved * facing).sum(axis=-1), moved.reshape(3, -1)
        step = np.linalg.lstsq(
            across @ across.T + _SLIDE**2 * along @ along.T,
            across @ (error * facing).sum(axis=-1) + _SLIDE**2 * along @ error.ravel(),
            rcond=None,
        )[0]
        normal = normal + step[:2] @ sides
        normal, offset = normal / np.linalg.norm(normal), offset + float(step[2])
        if np.degrees(np.abs(step[:2]).max()) < tolerance_deg:
            break
    return normal, residual
