"""Shadows that the parts of a photo cast on the face."""

from collections.abc import Sequence

import numpy as np

from rayboot.geometry.mesh import Mesh

__all__ = ["cast_shadows"]

_GRID_SIZE = 80
"""Cells of the depth map along each side."""

_BIAS = 0.05
"""Distance by which something has to be nearer to the light to cast a shadow, as a fraction of the
outer eye distance; the depth map is too coarse for less."""

_SOFT_WIDTH = 0.06
"""Distance over which a shadow grows to its full strength, as a fraction of the same."""

_OFFSETS = np.array([[0, 0], [0.9, 0.2], [-0.9, -0.2], [-0.2, 0.9], [0.2, -0.9]])
"""Places about a vertex at which the depth map is read, cells."""


def cast_shadows(
    vertices: np.ndarray, casters: Sequence[Mesh], direction: np.ndarray, unit: float
) -> np.ndarray:
    """Returns the fraction (N,) of a light that other things keep from each vertex.

    Args:
        vertices: (N, 3) vertices, px, any frame.
        casters: what casts shadows, in the same frame.
        direction: (3,) unit vector towards the light.
        unit: outer eye distance, px.
    """
    from_frame = _light_frame(direction)
    points = np.concatenate([_sample_mesh(mesh) for mesh in casters]) @ from_frame.T
    targets = vertices @ from_frame.T
    low, high = targets[:, :2].min(axis=0), targets[:, :2].max(axis=0)
    step = float((high - low).max()) / (_GRID_SIZE - 1)
    cells = np.rint((points[:, :2] - low) / step).astype(int)
    inside = ((cells >= 0) & (cells < _GRID_SIZE)).all(axis=1)
    nearest = np.full(_GRID_SIZE * _GRID_SIZE, -np.inf)
    np.maximum.at(nearest, cells[inside] @ [_GRID_SIZE, 1], points[inside, 2])
    blocked = np.zeros(len(vertices))
    for offset in _OFFSETS:
        at = np.rint((targets[:, :2] - low) / step + offset).astype(int)
        at = np.clip(at, 0, _GRID_SIZE - 1)
        height = nearest[at @ [_GRID_SIZE, 1]] - targets[:, 2] - _BIAS * unit
        blocked += np.clip(height / (_SOFT_WIDTH * unit), 0, 1)
    return np.asarray(blocked / len(_OFFSETS))


def _light_frame(direction: np.ndarray) -> np.ndarray:
    """Returns the rotation (3, 3) to a frame whose z axis points to the light."""
    across = np.cross([0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0], direction)
    across = across / np.linalg.norm(across)
    return np.stack([across, np.cross(direction, across), direction])


def _sample_mesh(mesh: Mesh) -> np.ndarray:
    """Returns corners, middles of edges and centroids of a mesh's triangles (M, 3)."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    return np.concatenate([mesh.vertices, (a + b) / 2, (b + c) / 2, (c + a) / 2, (a + b + c) / 3])
