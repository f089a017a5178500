"""Refinement of a face's plane of bilateral symmetry on the depth map of its front."""

import numpy as np

from rayboot.geometry.alignment import Similarity
from rayboot.geometry.pose_regressor import X_RANGE, Y_RANGE, Z_MIDDLE, depth_map

__all__ = ["refine_symmetry"]

_GRID_SIZE = 64
_LOW = np.array([X_RANGE[0], Y_RANGE[0]])
_STEP = np.array([X_RANGE[1] - X_RANGE[0], Y_RANGE[1] - Y_RANGE[0]]) / _GRID_SIZE

_MAX_SLOPE = 2.5
"""Cells with a steeper surface are left out: side walls, and rims seen at an angle."""

_MIN_CELLS = 100
"""With fewer cells that have a counterpart the plane is left as it is."""

_NOISE = 0.02
"""Distance from the surface beyond which a cell counts less, in outer eye distances."""

_MAX_STEPS = 8

_TOLERANCE = 1e-4
"""The registration ends with a step smaller than this, radians."""


def refine_symmetry(points: np.ndarray, frame: Similarity) -> tuple[Similarity, float]:
    """Turns and shifts the frame of a face until its front is its own mirror image.

    Args:
        points: (N, 3) of the surface, px.
        frame: similarity from the mean head's frame, in which x = 0 is the plane, to the points'.

    Returns:
        The refined frame, of equal pitch and scale; and the asymmetry, the median distance of the
        reflected front to the front, in outer eye distances (infinite where no part of the
        front has a counterpart).
    """
    cells = _Front(points, frame)
    normal, offset, asymmetry = np.array([1.0, 0.0, 0.0]), 0.0, np.inf
    for _ in range(_MAX_STEPS):
        height = cells.points @ normal - offset
        reflected = cells.points - 2 * height[:, None] * normal
        matched, distance, normals = cells.distances(reflected)
        if len(matched) < _MIN_CELLS:
            return frame, np.inf
        asymmetry = float(np.median(np.abs(distance)))
        tangents, along = _tangents(normal), normals @ normal
        tilts = cells.points[matched] @ tangents.T * along[:, None]
        tilts += height[matched, None] * (normals @ tangents.T)
        derivatives = np.column_stack([2 * tilts, -2 * along]).T
        weighted = derivatives / np.maximum(1, np.abs(distance) / _NOISE)
        step = -np.linalg.lstsq(weighted @ derivatives.T, weighted @ distance, rcond=None)[0]
        normal = normal + step[:2] @ tangents
        normal, offset = normal / np.linalg.norm(normal), offset + float(step[2])
        if np.abs(step[:2]).max() < _TOLERANCE:
            break
    rotation = frame.rotation @ _shortest_rotation(normal)
    translation = frame.translation + frame.scale * offset * (frame.rotation @ normal)
    return Similarity(frame.scale, rotation, translation), asymmetry


class _Front:
    """The front as a height map over the x-y plane of the face's frame, with its slopes.

    Attributes:
        points: (C, 3) centres of the cells whose slopes are known.
    """

    def __init__(self, points: np.ndarray, frame: Similarity) -> None:
        stored, filled = depth_map(points.astype(np.float32), frame, _GRID_SIZE).astype(np.float64)
        heights = np.where(filled > 0, stored + Z_MIDDLE, np.nan)
        slope_y, slope_x = np.gradient(heights, _STEP[1], _STEP[0])
        steep = np.maximum(np.abs(slope_x), np.abs(slope_y)) > _MAX_SLOPE
        known = np.isfinite(slope_x + slope_y + heights) & ~steep
        rows, columns = np.nonzero(known)
        centres = _LOW + (np.column_stack([columns, rows]) + 0.5) * _STEP
        self.points = np.column_stack([centres, heights[known]])
        self._slopes = np.column_stack([slope_x[known], slope_y[known]])
        self._number = np.full(known.shape, -1)
        self._number[known] = np.arange(len(self.points))

    def distances(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the distances of points to the planes of the cells below or above them.

        Args:
            queries: (Q, 3).

        Returns:
            Indices (M,) of the queries that have such a cell, their signed distances (M,), and
            the cells' unit normals (M, 3).
        """
        cell = np.floor((queries[:, :2] - _LOW) / _STEP).astype(int)
        inside = ((cell >= 0) & (cell < _GRID_SIZE)).all(axis=1)
        number = np.where(
            inside, self._number[tuple(np.where(inside[:, None], cell, 0).T[::-1])], -1
        )
        matched = np.flatnonzero(number >= 0)
        number = number[matched]
        normals = np.column_stack([-self._slopes[number], np.ones(len(number))])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        distance = ((self.points[number] - queries[matched]) * normals).sum(axis=1)
        return matched, distance, normals


def _tangents(normal: np.ndarray) -> np.ndarray:
    """Returns two unit vectors (2, 3) orthogonal to a normal near the x axis and to each other."""
    first = np.cross([0.0, 1.0, 0.0], normal)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first)])


def _shortest_rotation(normal: np.ndarray) -> np.ndarray:
    """Returns the rotation (3, 3) by the smallest angle that moves the x axis to ``normal``."""
    x, y, z = normal
    axis = np.array([[0.0, -y, -z], [y, 0.0, 0.0], [z, 0.0, 0.0]])
    return np.asarray(np.eye(3) + axis + axis @ axis / (1 + x))
