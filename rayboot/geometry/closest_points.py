"""Closest points on triangles."""

import numpy as np

__all__ = ["closest_around", "closest_on_triangles"]


def closest_around(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, nearest: np.ndarray
) -> np.ndarray:
    """Closest points of a surface, sought among the triangles that meet at the closest vertex.

    On a surface of even triangles, as marching cubes draws, the closest point lies on one of
    those; where it does not, what is found is a little too far.

    Args:
        points: (N, 3).
        vertices: (M, 3) of the surface.
        faces: (F, 3) of it.
        nearest: (N,) the closest vertex of each point.

    Returns:
        (N, 3) float64.
    """
    order = np.argsort(faces.ravel(), kind="stable") // 3
    counts = np.bincount(faces.ravel(), minlength=len(vertices))
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = np.asarray(vertices, np.float64)[nearest]
    best = np.square(points - found).sum(axis=1)
    for turn in range(int(counts[nearest].max(initial=0))):
        # The points whose vertex has so many triangles.
        chosen = np.flatnonzero(counts[nearest] > turn)
        triangles = faces[order[starts[nearest[chosen]] + turn]]
        place = closest_on_triangles(points[chosen], vertices[triangles])
        squared = np.square(points[chosen] - place).sum(axis=1)
        better = squared < best[chosen]
        best[chosen[better]], found[chosen[better]] = squared[better], place[better]
    return found


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The closest point of each triangle (N, 3, 3) to its own point (N, 3); (N, 3) float64.

    Inside the triangle it is the foot on its plane, else it lies on the nearest edge.
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
    found = first + v * ab + w * ac
    out = ~inside
    if out.any():
        found[out] = _closest_on_edges(points[out], corners[out])
    return found


def _closest_on_edges(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    starts, along = corners, np.roll(corners, -1, axis=1) - corners
    length = np.maximum(_dot(along, along), 1e-300)
    share = np.clip(_dot(points[:, None] - starts, along) / length, 0, 1)
    feet = starts + share[..., None] * along
    nearest = np.square(points[:, None] - feet).sum(axis=-1).argmin(axis=1)
    return feet[np.arange(len(points)), nearest]


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", left, right)
