"""Rigid ICP to convergence, and closest points."""

from typing import Literal, NamedTuple

import numpy as np
import small_gicp
from pykdtree.kdtree import KDTree

from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.closest_points import closest_on_mesh

__all__ = ["ClosestPoints", "Surface", "register"]

_COARSE_STEP, _STEP, _FINE_STEP = 1e-3, 2e-4, 1e-5
"""A point-to-point pass ends when a step moves the points by less (root mean square, in units)."""

_MOMENTUM = 0.7
"""Closest points are searched ahead of the current position, by this fraction of the last step.
Slowly converging steps then end sooner, at the same position: at full size, 0.5 to 0.9 need fewer
steps than none, and 0.7 the fewest."""

_NUM_COARSE_POINTS = 500
"""Number of points in the passes that do not need all. Shapes with fewer points, such as landmarks,
do not determine the slopes of a surface: passes that let them slide along the surface end elsewhere
(by 3 % of the outer eye distance in the worst of 56 photos). They take one point-to-point pass
with fine steps."""

_VOXEL, _NUM_NEIGHBOURS = 0.05, 10
"""Edge of the voxels that reduce the target to one point each, in units, and number of neighbours
from which the covariance of a point is estimated."""

_MAX_TARGET_VERTICES = 10_000
"""Above this number of target vertices, every second one is used for generalized ICP."""

_NUM_PLANE_NEIGHBOURS = 8
"""Number of target vertices near each point that define its planes, and number of neighbours from
which their normals are estimated."""

_COARSE_TURN, _TURN = 1e-3, 1e-4
"""A generalized or point-to-plane pass ends when a step rotates by less (radians) and translates by
less (units)."""

_MAX_GENERALIZED_STEPS = 10
"""Maximum number of steps of generalized ICP: equal shapes take five and others three or four; one
pair in eight would alternate between two positions, either of which is near enough."""

_LEAF_SIZE = 32
"""Leaf size of the search tree: twice the library's default is faster to build and no slower to
search."""


class ClosestPoints(NamedTuple):
    """The closest point of a surface to each of N points.

    Attributes:
        distance: (N,) float64, distance to the closest point.
        point: (N, 3), the closest point.
        vertex_index: (N,), index of the closest vertex.
    """

    distance: np.ndarray
    point: np.ndarray
    vertex_index: np.ndarray


class Surface:
    """A target of registration: its vertices (M, 3) in a search tree."""

    def __init__(self, vertices: np.ndarray) -> None:
        self.vertices = np.ascontiguousarray(vertices, np.float64)
        self._tree = KDTree(self.vertices, leafsize=_LEAF_SIZE)

    def closest(self, points: np.ndarray, faces: np.ndarray | None = None) -> ClosestPoints:
        """Finds the closest vertices to points (N, 3), or with ``faces`` (F, 3) the closest points.

        With ``faces``, the triangles at the closest vertex are searched.
        """
        points = np.ascontiguousarray(points, np.float64)
        distance, vertex_index = self._tree.query(points)
        vertex_index = vertex_index.astype(np.intp)
        if faces is None:
            return ClosestPoints(distance, self.vertices[vertex_index], vertex_index)
        closest = closest_on_mesh(points, self.vertices, faces, vertex_index)
        return ClosestPoints(np.linalg.norm(points - closest, axis=1), closest, vertex_index)

    def around(self, points: np.ndarray, count: int) -> np.ndarray:
        """Returns the vertices (K, 3) among the ``count`` closest of any of the points (N, 3)."""
        count = min(count, len(self.vertices))
        _, indices = self._tree.query(np.ascontiguousarray(points, np.float64), k=count)
        return np.asarray(self.vertices[np.unique(indices)])


class _Settings(NamedTuple):
    unit: float
    max_distance: float
    max_iterations: int


def register(
    points: np.ndarray,
    surface: Surface,
    start: Similarity,
    *,
    unit: float,
    scale: bool = False,
    max_distance: float = np.inf,
    max_iterations: int = 200,
) -> Similarity:
    """Aligns points with the closest points of a surface, by ICP that ends point to point.

    A dense shape is first registered by generalized ICP, then point to plane. Point-to-point ICP
    alone keeps it from sliding along the surface to where it belongs, and point-to-plane ICP from
    far away diverges: of 150 transforms of equal shapes by some degrees and tenths of a unit it
    fails to recover 26, generalized ICP none.

    Args:
        points: (N, 3), the points that move.
        surface: The target, which is fixed.
        start: Initial transform; from a distant start ICP converges to a wrong minimum.
        unit: Length that thresholds are relative to.
        scale: Whether the scale is free.
        max_distance: Pairs that are farther apart are ignored.
        max_iterations: Maximum number of iterations of each pass; it ends earlier when its steps
            are small.

    Returns:
        The similarity that aligns the points, of scale ``start.scale`` unless ``scale``.

    Source:
        Besl and McKay, TPAMI 14(2), 1992; Segal et al., Generalized-ICP, RSS 2009; point to plane:
        Chen and Medioni, Image and Vision Computing 10(3), 1992; the latter two as in small_gicp.
    """
    settings = _Settings(unit, max_distance, max_iterations)
    if len(points) <= _NUM_COARSE_POINTS:
        return _align_to_points(points, surface, start, settings, _FINE_STEP, scale=scale)
    coarse = points[:: len(points) // _NUM_COARSE_POINTS]
    fitted = _align_generalized(points, surface, start, settings)
    fitted = _align_to_planes(coarse, surface, fitted, settings)
    fitted = _align_to_points(coarse, surface, fitted, settings, _COARSE_STEP)
    return _align_to_points(points, surface, fitted, settings, _STEP, scale=scale)


def _align_generalized(
    points: np.ndarray, surface: Surface, start: Similarity, settings: _Settings
) -> Similarity:
    """Registers by generalized ICP with the downsampled surface."""
    every = 2 if len(surface.vertices) > _MAX_TARGET_VERTICES else 1
    target, tree = small_gicp.preprocess_points(
        surface.vertices[::every],
        _VOXEL * settings.unit,
        num_neighbors=_NUM_NEIGHBOURS,
        num_threads=1,
    )
    num_steps = min(settings.max_iterations, _MAX_GENERALIZED_STEPS)
    limited = settings._replace(max_iterations=num_steps)
    return _run_small_gicp(points, target, tree, start, limited, "GICP", _COARSE_TURN)


def _align_to_planes(
    points: np.ndarray, surface: Surface, start: Similarity, settings: _Settings
) -> Similarity:
    """Registers point to plane with the vertices near the points."""
    target = small_gicp.PointCloud(surface.around(start.apply(points), _NUM_PLANE_NEIGHBOURS))
    tree = small_gicp.KdTree(target)
    small_gicp.estimate_normals(target, tree, num_neighbors=_NUM_PLANE_NEIGHBOURS)
    return _run_small_gicp(points, target, tree, start, settings, "PLANE_ICP", _TURN)


def _run_small_gicp(
    points: np.ndarray,
    target: small_gicp.PointCloud,
    tree: small_gicp.KdTree,
    start: Similarity,
    settings: _Settings,
    kind: Literal["GICP", "PLANE_ICP"],
    min_step: float,
) -> Similarity:
    source = small_gicp.PointCloud(np.ascontiguousarray(start.apply(points)))
    if kind == "GICP":
        small_gicp.estimate_covariances(source, num_neighbors=_NUM_NEIGHBOURS)
    target_from_source = small_gicp.align(
        target,
        source,
        tree,
        registration_type=kind,
        # Infinity would overflow where small_gicp squares it.
        max_correspondence_distance=min(settings.max_distance, 1e6 * settings.unit),
        num_threads=1,
        max_iterations=settings.max_iterations,
        rotation_epsilon=min_step,
        translation_epsilon=min_step * settings.unit,
    ).T_target_source
    rotation = np.array(target_from_source[:3, :3])
    translation = np.array(target_from_source[:3, 3])
    return Similarity(
        start.scale, rotation @ start.rotation, rotation @ start.translation + translation
    )


def _align_to_points(
    points: np.ndarray,
    surface: Surface,
    start: Similarity,
    settings: _Settings,
    min_step: float,
    *,
    scale: bool = False,
) -> Similarity:
    """Registers point to point, with momentum, until a step is shorter than ``min_step`` units."""
    fitted, moved = start, start.apply(points)
    scaled = points if scale else start.scale * points
    ahead = moved
    for _ in range(settings.max_iterations):
        closest = surface.closest(ahead)
        source, target = scaled, closest.point
        if np.isfinite(settings.max_distance):
            near = closest.distance <= settings.max_distance
            source, target = source[near], target[near]
        step = fit_similarity(source, target, scale=scale)
        fitted = step if scale else step._replace(scale=start.scale)
        before, moved = moved, fitted.apply(points)
        shift = moved - before
        if np.vdot(shift, shift) < len(points) * (min_step * settings.unit) ** 2:
            break
        ahead = moved + _MOMENTUM * shift
    return fitted
