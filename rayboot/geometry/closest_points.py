"""Closest points on triangles and on triangle meshes."""

import numpy as np

__all__ = ["closest_on_mesh", "closest_on_triangles"]


def closest_on_mesh(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, nearest: np.ndarray
) -> np.ndarray:
    """Returns the closest surface points among the triangles that meet at the nearest vertex.

    On a surface of even triangles, as marching cubes produces, the closest point is on one of
    those. On others the result may be another point of the surface, a little too far away.

    Args:
        points: (N, 3) query points.
        vertices: (M, 3) vertices of the mesh.
        faces: (F, 3) triangles of the mesh.
        nearest: (N,) index of the nearest vertex of each query point.

    Returns:
        (N, 3) float64.
    """
    order = np.argsort(faces.ravel(), kind="stable") // 3
    counts = np.bincount(faces.ravel(), minlength=len(vertices))
    starts = np.concatenate([[0], np.cumsum(counts)])
    closest: np.ndarray = np.asarray(vertices, np.float64)[nearest]
    best = np.square(points - closest).sum(axis=1)
    for rank in range(int(counts[nearest].max(initial=0))):
        # Query points whose vertex has a triangle of this rank.
        chosen = np.flatnonzero(counts[nearest] > rank)
        triangles = faces[order[starts[nearest[chosen]] + rank]]
        candidates = closest_on_triangles(points[chosen], vertices[triangles])
        squared = np.square(points[chosen] - candidates).sum(axis=1)
        better = squared < best[chosen]
        best[chosen[better]], closest[chosen[better]] = squared[better], candidates[better]
    return closest


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns the closest point of each triangle to its own query point.

    That is the projection onto the triangle's plane where it falls inside the
    triangle, else the closest point of the nearest edge.

    Args:
        points: (N, 3) query points.
        corners: (N, 3, 3) corners of one triangle for each query point.

    Returns:
        (N, 3) float64.
    """
    points, corners = np.asarray(points, np.float64), np.asarray(corners, np.float64)
    first, second, third = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = second - first, third - first, points - first
    aa, bb, cross = _dot(ab, ab), _dot(ac, ac), _dot(ab, ac)
    pa, pb = _dot(ap, ab), _dot(ap, ac)
    area = aa * bb - cross * cross
    with np.errstate(divide="ignore", invalid="ignore"):
        v, w = (bb * pa - cross * pb) / area, (aa * pb - cross * pa) / area
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    v, w = np.where(inside, v, 0.0)[:, None], np.where(inside, w, 0.0)[:, None]
    closest: np.ndarray = first + v * ab + w * ac
    outside = ~inside
    if outside.any():
        closest[outside] = _closest_on_edges(points[outside], corners[outside])
    return closest


def _closest_on_edges(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    starts, edges = corners, np.roll(corners, -1, axis=1) - corners
    squared_length = np.maximum(_dot(edges, edges), 1e-300)
    fraction = np.clip(_dot(points[:, None] - starts, edges) / squared_length, 0, 1)
    projections = starts + fraction[..., None] * edges
    nearest = np.square(points[:, None] - projections).sum(axis=-1).argmin(axis=1)
    return np.asarray(projections[np.arange(len(points)), nearest])


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("...i,...i->...", left, right))
