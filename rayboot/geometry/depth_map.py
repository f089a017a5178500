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
    # Triangles of similar size are processed together, since all get boxes of the largest's size.
    for smallest, largest in ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, size)):
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
    ax, ay, bx, by, cx, cy = cells.reshape(-1, 6).T
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    size = len(buffer)
    num_cells = int((np.floor(cells.max(axis=1)) - first).max()) + 1
    # Barycentric weights and depth are affine in column and row.
    weight_a = np.stack([by - cy, cx - bx, bx * cy - by * cx]) / area
    weight_b = np.stack([cy - ay, ax - cx, cx * ay - cy * ax]) / area
    depth_plane = weight_a * (z[:, 0] - z[:, 2]) + weight_b * (z[:, 1] - z[:, 2])
    dx, dy = np.meshgrid(np.arange(num_cells), np.arange(num_cells))
    x, y = (start[:, None, None] + step for start, step in zip(first.T, (dx, dy), strict=True))
    u, v, depth = (
        plane[0][:, None, None] * x + plane[1][:, None, None] * y + plane[2][:, None, None]
        for plane in (weight_a, weight_b, depth_plane)
    )
    hit = (u >= 0) & (v >= 0) & (u + v <= 1)
    hit &= (x >= 0) & (x < size) & (y >= 0) & (y < size)
    depth = (depth + z[:, 2, None, None])[hit]
    np.maximum.at(buffer, (y[hit], x[hit]), depth)
