"""Rigid ICP to convergence, and closest points."""

from typing import Literal, NamedTuple

import numpy as np
import small_gicp
from pykdtree.kdtree import KDTree

from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.closest_points import closest_on_mesh

__all__ = ["ClosestPoints", "Surface", "register"]

_ROUGH_STEP, _STEP, _FINE_STEP = 1e-3, 2e-4, 1e-5
"""A pass ends when a step moves the points by less, root mean square, in units."""

_MOMENTUM = 0.7
"""Closest points are sought ahead of where a step has brought the points, by this share of it.
Steps that creep along end sooner, where they would have ended: at full size 0.5 to 0.9 take fewer
than none, and 0.7 the fewest."""

_FEW = 500
"""Points of the passes that need not all. Shapes of fewer points, such as landmarks, do not tell a
surface's slopes: let to slide along them they end elsewhere (by 3 % of the outer eye distance in
the worst of 56 photos). They take one pass, of fine steps."""

_LEAF, _NEIGHBOURS = 0.05, 10
"""Patches are of so many neighbours, of points thinned to one in a cube of this edge; where there
are many, every second takes part."""

_MANY = 10_000

_FEW_NEIGHBOURS = 8
"""Vertices around each point, and neighbours of each, of which the planes nearby are taken."""

_ROUGH_TURN, _TURN = 1e-3, 1e-4
"""A pass onto patches or onto planes ends when it turns by less, radians, and shifts by less, in
units."""

_FEW_STEPS = 10
"""Of the pass onto patches: equal shapes take five, others three or four, and one pair in eight
would go to and fro between two places, either of which is near enough."""

_LEAF_SIZE = 32
"""Of the search tree: twice the library's is faster to build and no slower to search."""


class ClosestPoints(NamedTuple):
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
        self._tree = KDTree(self.vertices, leafsize=_LEAF_SIZE)

    def closest(self, points: np.ndarray, faces: np.ndarray | None = None) -> ClosestPoints:
        """What is closest to points (N, 3): vertices, or with ``faces`` (F, 3) anything on them."""
        points = np.ascontiguousarray(points, np.float64)
        distance, vertex = self._tree.query(points)
        vertex = vertex.astype(np.intp)
        if faces is None:
            return ClosestPoints(distance, self.vertices[vertex], vertex)
        place = closest_on_mesh(points, self.vertices, faces, vertex)
        return ClosestPoints(np.linalg.norm(points - place, axis=1), place, vertex)

    def around(self, points: np.ndarray, count: int) -> np.ndarray:
        """The vertices (K, 3) that are among the ``count`` closest of any of the points (N, 3)."""
        count = min(count, len(self.vertices))
        _, found = self._tree.query(np.ascontiguousarray(points, np.float64), k=count)
        return self.vertices[np.unique(found)]


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

    A dense shape is first laid onto the surface patch to patch, then point to plane: closest points
    alone hold it back from sliding to where it belongs, and planes from afar lead it astray: of 150
    motions of equal shapes by some degrees and tenths of a unit they lose 26, patches none.

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
        Besl and McKay, TPAMI 14(2), 1992; patches: Segal et al., Generalized-ICP, RSS 2009; planes:
        Chen and Medioni, Image and Vision Computing 10(3), 1992, both as in small_gicp.
    """
    settings = _Settings(unit, reach, max_iterations)
    if len(points) <= _FEW:
        return _onto_points(points, surface, start, settings, _FINE_STEP, scale=scale)
    few = points[:: len(points) // _FEW]
    fitted = _onto_patches(points, surface, start, settings)
    fitted = _onto_planes(few, surface, fitted, settings)
    fitted = _onto_points(few, surface, fitted, settings, _ROUGH_STEP)
    return _onto_points(points, surface, fitted, settings, _STEP, scale=scale)


def _onto_patches(
    points: np.ndarray, surface: Surface, start: Similarity, settings: _Settings
) -> Similarity:
    """Onto the thinned surface, patch to patch: of both sides it is known how they lie."""
    every = 2 if len(surface.vertices) > _MANY else 1
    patches, tree = small_gicp.preprocess_points(
        surface.vertices[::every], _LEAF * settings.unit, num_neighbors=_NEIGHBOURS, num_threads=1
    )
    few = settings._replace(max_iterations=min(settings.max_iterations, _FEW_STEPS))
    return _carry(points, patches, tree, start, few, "GICP", _ROUGH_TURN)


def _onto_planes(
    points: np.ndarray, surface: Surface, start: Similarity, settings: _Settings
) -> Similarity:
    """Onto the planes of the vertices nearby."""
    planes = small_gicp.PointCloud(surface.around(start.apply(points), _FEW_NEIGHBOURS))
    tree = small_gicp.KdTree(planes)
    small_gicp.estimate_normals(planes, tree, num_neighbors=_FEW_NEIGHBOURS)
    return _carry(points, planes, tree, start, settings, "PLANE_ICP", _TURN)


def _carry(
    points: np.ndarray,
    target: small_gicp.PointCloud,
    tree: small_gicp.KdTree,
    start: Similarity,
    settings: _Settings,
    kind: Literal["GICP", "PLANE_ICP"],
    least: float,
) -> Similarity:
    source = small_gicp.PointCloud(np.ascontiguousarray(start.apply(points)))
    if kind == "GICP":
        small_gicp.estimate_covariances(source, num_neighbors=_NEIGHBOURS)
    found = small_gicp.align(
        target,
        source,
        tree,
        registration_type=kind,
        # Infinity would overflow where it is squared.
        max_correspondence_distance=min(settings.reach, 1e6 * settings.unit),
        num_threads=1,
        max_iterations=settings.max_iterations,
        rotation_epsilon=least,
        translation_epsilon=least * settings.unit,
    ).T_target_source
    turn, shift = np.array(found[:3, :3]), np.array(found[:3, 3])
    return Similarity(start.scale, turn @ start.rotation, turn @ start.translation + shift)


def _onto_points(
    points: np.ndarray,
    surface: Surface,
    start: Similarity,
    settings: _Settings,
    step: float,
    *,
    scale: bool = False,
) -> Similarity:
    fitted, moved = start, start.apply(points)
    scaled = points if scale else start.scale * points
    ahead = moved
    for _ in range(settings.max_iterations):
        found = surface.closest(ahead)
        source, target = scaled, found.place
        if np.isfinite(settings.reach):
            kept = found.distance <= settings.reach
            source, target = source[kept], target[kept]
        motion = fit_similarity(source, target, scale=scale)
        fitted = motion if scale else motion._replace(scale=start.scale)
        before, moved = moved, fitted.apply(points)
        shift = moved - before
        if np.vdot(shift, shift) < len(points) * (step * settings.unit) ** 2:
            break
        ahead = moved + _MOMENTUM * shift
    return fitted
