"""Rigid ICP to convergence, and closest points, by small_gicp.

All in one thread: an evaluation has a process for every core.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import small_gicp

from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.closest import closest_around

__all__ = ["Closest", "Surface", "register"]

_STEP, _FINE_STEP = 1e-3, 1e-4
"""A pass ends when it turns by less, radians, and shifts by less than a tenth of it, in units."""

_FEW = 500
"""Points of the passes that only bring a dense shape near. Shapes of fewer points, such as
landmarks, do not tell a surface's slopes: let to slide along them they end elsewhere (by 3 % of the
outer eye distance in the worst of 56 photos). They take one pass, of fine steps."""

_LEAF, _NEIGHBOURS = 0.03, 10
"""Planes are those of so many neighbours, of points thinned to one in a cube of this edge."""

_SCALE_STEPS, _SCALE_TOLERANCE = 30, 1e-5


class Closest(NamedTuple):
    """Of each of N points.

    Attributes:
        distance: (N,) float64.
        place: (N, 3), the closest point.
        vertex: (N,), the closest vertex.
    """

    distance: np.ndarray
    place: np.ndarray
    vertex: np.ndarray


class Surface:
    """A shape to which points are carried: its vertices (M, 3) in a search tree."""

    def __init__(self, vertices: np.ndarray) -> None:
        self.vertices = np.ascontiguousarray(vertices, np.float64)
        self._tree = small_gicp.KdTree(self.vertices, num_threads=1)

    @cached_property
    def _cloud(self) -> small_gicp.PointCloud:
        return small_gicp.PointCloud(self.vertices)

    def _planes(self, unit: float) -> tuple[small_gicp.PointCloud, small_gicp.KdTree]:
        return small_gicp.preprocess_points(
            self.vertices, _LEAF * unit, num_neighbors=_NEIGHBOURS, num_threads=1
        )

    def closest(self, points: np.ndarray, faces: np.ndarray | None = None) -> Closest:
        """What is closest to points (N, 3): vertices, or with ``faces`` (F, 3) anything on them."""
        points = np.ascontiguousarray(points, np.float64)
        found, squared = self._tree.batch_nearest_neighbor_search(points, num_threads=1)
        vertex = np.asarray(found, np.intp)
        if faces is None:
            return Closest(np.sqrt(np.asarray(squared)), self.vertices[vertex], vertex)
        place = closest_around(points, self.vertices, faces, vertex)
        return Closest(np.linalg.norm(points - place, axis=1), place, vertex)

    def carry(
        self, points: np.ndarray, settings: "_Settings", step: float, *, planes: bool = False
    ) -> Similarity:
        """The rigid motion of one ICP, to the closest points or to the planes through them."""
        cloud, tree = self._planes(settings.unit) if planes else (self._cloud, self._tree)
        found = small_gicp.align(
            cloud,
            small_gicp.PointCloud(np.ascontiguousarray(points, np.float64)),
            tree,
            registration_type="PLANE_ICP" if planes else "ICP",
            max_correspondence_distance=settings.reach,
            num_threads=1,
            max_iterations=settings.max_iterations,
            rotation_epsilon=step,
            translation_epsilon=0.1 * step * settings.unit,
        ).T_target_source
        return Similarity(1.0, np.array(found[:3, :3]), np.array(found[:3, 3]))


class _Settings(NamedTuple):
    unit: float
    reach: float
    max_iterations: int


def register(
    points: np.ndarray,
    surface: Surface,
    start: Similarity,
    *,
    unit: float,
    scale: bool = False,
    reach: float = np.inf,
    max_iterations: int = 200,
) -> Similarity:
    """Carries points onto the closest ones of a surface, by point-to-point ICP.

    A dense shape is first laid onto the surface's planes: closest points alone hold it back from
    sliding to where it belongs, and equal shapes would end half a vertex apart.

    Args:
        points: (N, 3).
        surface: that lies still.
        start: where to begin; from far off ICP ends anywhere.
        unit: length by which small is judged.
        scale: whether size is free.
        reach: farther pairs take no part.
        max_iterations: of each pass; it ends before when steps are small.

    Returns:
        A similarity, of scale ``start.scale`` unless ``scale``.

    Source:
        Besl and McKay, TPAMI 14(2), 1992; Chen and Medioni, Image and Vision Computing 10(3),
        1992; both as in small_gicp.
    """
    # Infinity would overflow where it is squared.
    settings = _Settings(unit, min(reach, 1e6 * unit), max_iterations)
    if len(points) <= _FEW:
        fitted = _after(surface.carry(start.apply(points), settings, _FINE_STEP), start)
    else:
        few = points[:: len(points) // _FEW]
        fitted = _after(surface.carry(start.apply(few), settings, _FINE_STEP, planes=True), start)
        fitted = _after(surface.carry(fitted.apply(few), settings, _STEP), fitted)
        fitted = _after(surface.carry(fitted.apply(points), settings, _STEP), fitted)
    return _scaled(points, surface, fitted, settings.reach) if scale else fitted


def _after(motion: Similarity, first: Similarity) -> Similarity:
    """``first``, then the rigid ``motion``."""
    return Similarity(
        first.scale, motion.rotation @ first.rotation, motion.apply(first.translation[None])[0]
    )


def _scaled(points: np.ndarray, surface: Surface, fitted: Similarity, reach: float) -> Similarity:
    for _ in range(_SCALE_STEPS):
        found = surface.closest(fitted.apply(points))
        kept = found.distance <= reach
        before = fitted.scale
        fitted = fit_similarity(points[kept], found.place[kept])
        if abs(fitted.scale / before - 1) < _SCALE_TOLERANCE:
            break
    return fitted
