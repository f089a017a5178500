"""Polygons and triangle strips of mesh files as triangles."""

from collections.abc import Sequence

import numpy as np

__all__ = ["split_polygons", "split_strips"]


def split_polygons(polygons: np.ndarray | Sequence[np.ndarray | Sequence[int]]) -> np.ndarray:
    """Returns the triangles of polygons, which fan out from each one's first corner.

    Args:
        polygons: (F, K) indices, or one sequence of indices a polygon.

    Returns:
        (T, 3) int64 in the order of the polygons; those of fewer than three corners give none.
    """
    if len(polygons) == 0:
        return np.empty((0, 3), np.int64)
    lengths = np.array([len(polygon) for polygon in polygons])
    num_triangles = np.maximum(lengths - 2, 0)
    triangles = np.empty((num_triangles.sum(), 3), np.int64)
    first = np.cumsum(num_triangles) - num_triangles
    # All polygons of one length at once, since most meshes have only triangles.
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        corners = np.array([polygons[index] for index in chosen.tolist()], np.int64)
        for corner in range(length - 2):
            triangles[first[chosen] + corner] = corners[:, [0, corner + 1, corner + 2]]
    return triangles


def split_strips(strips: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Returns the triangles of strips, every second one turned.

    Args:
        strips: Indices of each strip; a strip may consist of several, with -1 between them.

    Returns:
        (T, 3) int64; triangles that repeat a corner, which join two strips, are left out.
    """
    triangles = [np.empty((0, 3), np.int64)]
    for joined in strips:
        indices = np.asarray(joined, np.int64)
        for part in np.split(indices, np.flatnonzero(indices == -1)):
            strip = part[part != -1]
            corners = np.stack([strip[:-2], strip[1:-1], strip[2:]], axis=1)
            corners[1::2] = corners[1::2, [1, 0, 2]]
            triangles.append(corners)
    all_triangles = np.concatenate(triangles)
    a, b, c = all_triangles.T
    return np.asarray(all_triangles[(a != b) & (b != c) & (a != c)])
