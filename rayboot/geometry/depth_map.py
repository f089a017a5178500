"""Depth maps of triangle meshes, seen along -z, without OpenGL."""

import numpy as np

__all__ = ["draw_depth_map"]


def draw_depth_map(
    vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, step: np.ndarray, size: int
) -> np.ndarray:
    """Returns the depth map (G, G) float64 of the triangles that face +z; NaN where there is none.

    Args:
        vertices: (N, 3).
        faces: (F, 3) triangles.
        low: (2,) x and y of the first cell; rows increase with y.
        step: (2,) distances between neighbouring cells along x and y.
        size: G, number of rows and of columns.
    """
    corners = vertices[faces].astype(np.float64)
    cells = (corners[..., :2] - low) / step
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    first, last = np.floor(cells.min(axis=1)).astype(int) + 1, np.floor(cells.max(axis=1))
    num_cells = (last - first).max(axis=1).astype(int) + 1
    on_grid = (first < size).all(axis=1) & (last >= 0).all(axis=1)
    visible = (area > 1e-9) & (num_cells > 0) & on_grid
    buffer = np.full((size, size), -np.inf)
    # Triangles of similar size are processed together, one cell of their boxes after the other.
    for smallest, largest in ((1, 3), (4, 7), (8, size)):
        chosen = visible & (num_cells >= smallest) & (num_cells <= largest)
        if chosen.any():
            _draw_group(buffer, cells[chosen], corners[chosen, :, 2], first[chosen])
    return np.where(np.isfinite(buffer), buffer, np.nan)


def _draw_group(buffer: np.ndarray, cells: np.ndarray, z: np.ndarray, first: np.ndarray) -> None:
    """Draws triangles into the z-buffer.

    Args:
        buffer: (G, G) z-buffer, updated in place.
        cells: (F, 3, 2) corners in cells of the buffer.
        z: (F, 3) of the corners.
        first: (F, 2) first column and row of each triangle's bounding box.
    """
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    size = len(buffer)
    num_cells = int((np.floor(cells.max(axis=1)) - first).max()) + 1
    for dx in range(num_cells):
        for dy in range(num_cells):
            x, y = first[:, 0] + dx, first[:, 1] + dy
            u = ((b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)) / area
            v = ((c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1)
            hit &= (x >= 0) & (x < size) & (y >= 0) & (y < size)
            u, v = u[hit], v[hit]
            depth = u * z[hit, 0] + v * z[hit, 1] + (1 - u - v) * z[hit, 2]
            np.maximum.at(buffer, (y[hit], x[hit]), depth)
