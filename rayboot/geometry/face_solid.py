"""A head's face as a volume, as VRN's training volumes were made.

A depth map of the frontal face inside an ellipse, without ears and neck, filled
back to a plane, and turned analytically: each voxel's centre is turned back and
compared with the depth map. No volume is resampled.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from rayboot.geometry.camera import crop_from_voxel, transform_points, voxel_from_crop

__all__ = ["FaceSolid", "build_solid", "fill_softly", "fill_volume", "solid_extent"]

_GRID = 112
"""Width and height of the depth map; about two cells a pixel of a 96 px crop."""


class FaceSolid(NamedTuple):
    """A face filled back to a plane, in the head's frame.

    Attributes:
        depth: (G, G) float32, z of the front; rows go up with y.
        low: (2,) x and y of the first cell.
        step: (2,) between cells.
        inside: (G, G) bool, the ellipse.
        back: z of the plane.
    """

    depth: np.ndarray
    low: np.ndarray
    step: np.ndarray
    inside: np.ndarray
    back: float


def build_solid(
    vertices: np.ndarray, faces: np.ndarray, jaw: np.ndarray, depth: float
) -> FaceSolid:
    """The solid of a frontal face.

    Args:
        vertices: (N, 3) of the whole head, head's frame.
        faces: (F, 3) of the face region.
        jaw: (17, 3), landmarks 0 to 16; they span the ellipse.
        depth: from the nose's tip to the plane, unit of the vertices.
    """
    half_width = np.abs(jaw[:, 0]).max()
    bottom = jaw[8, 1] - 0.05
    radii = np.array([1.0, 1.1]) * half_width
    centre = np.array([0.0, bottom + radii[1]])
    step = 2 * radii / (_GRID - 1)
    low = centre - radii
    front = _rasterise(vertices, faces, low, step)
    known = np.isfinite(front)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    front = front[tuple(nearest)]
    axis = np.linspace(-1, 1, _GRID)
    inside = np.square(axis)[None] + np.square(axis)[:, None] <= 1
    back = float(front[inside].max() - depth)
    return FaceSolid(front.astype(np.float32), low, step, inside, back)


def _rasterise(
    vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """z-buffer (G, G) of the triangles that face +z; NaN where there is none."""
    corners = vertices[faces].astype(np.float64)
    cells = (corners[..., :2] - low) / step
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    first, last = np.floor(cells.min(axis=1)).astype(int) + 1, np.floor(cells.max(axis=1))
    reach = (last - first).max(axis=1).astype(int) + 1
    seen = (area > 1e-9) & (reach > 0) & (first < _GRID).all(axis=1) & (last >= 0).all(axis=1)
    buffer = np.full((_GRID, _GRID), -np.inf)
    # All triangles of about one size at once, one cell of their boxes after the other.
    for smallest, largest in ((1, 3), (4, 7), (8, _GRID)):
        chosen = seen & (reach >= smallest) & (reach <= largest)
        if chosen.any():
            _rasterise_group(buffer, cells[chosen], corners[chosen, :, 2], first[chosen])
    return np.where(np.isfinite(buffer), buffer, np.nan)


def _rasterise_group(
    buffer: np.ndarray, cells: np.ndarray, z: np.ndarray, first: np.ndarray
) -> None:
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    reach = int((np.floor(cells.max(axis=1)) - first).max()) + 1
    for dx in range(reach):
        for dy in range(reach):
            x, y = first[:, 0] + dx, first[:, 1] + dy
            u = ((b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)) / area
            v = ((c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1)
            hit &= (x >= 0) & (x < _GRID) & (y >= 0) & (y < _GRID)
            u, v = u[hit], v[hit]
            depth = u * z[hit, 0] + v * z[hit, 1] + (1 - u - v) * z[hit, 2]
            np.maximum.at(buffer, (y[hit], x[hit]), depth)


def solid_extent(solid: FaceSolid, transform: np.ndarray) -> np.ndarray:
    """Lowest and highest x, y, z (2, 3) of the solid after ``transform`` (3, 4)."""
    rows, columns = np.nonzero(solid.inside)
    plane = solid.low + np.column_stack([columns, rows]) * solid.step
    front = np.maximum(solid.depth[rows, columns], solid.back)
    points = np.concatenate(
        [np.column_stack([plane, z]) for z in (front, np.full(len(plane), solid.back))]
    )
    moved = transform_points(transform, points)
    return np.stack([moved.min(axis=0), moved.max(axis=0)])


def fill_volume(solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Occupancy (D, H, W) bool of the solid carried by ``transform`` (3, 4) into a crop's frame."""
    box, (x, y, z) = _head_coordinates(solid, transform, shape)
    column, row = _cells(solid, x, y)
    part = (z >= np.float32(solid.back)) & (_radius(column, row) <= _RADIUS)
    part[part] = z[part] <= _front(solid, column[part], row[part])
    occupied = np.zeros(shape, bool)
    occupied[box] = part
    return occupied


def fill_softly(
    solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int], width: float = 1.5
) -> np.ndarray:
    """The same as occupancy (D, H, W) float32 in [0, 1] that falls across the surface.

    Args:
        solid: of the head.
        transform: (3, 4), from the head's frame to the crop's.
        shape: (D, H, W).
        width: over which it falls from 1 to 0, px; half of it reached at the surface.
    """
    unit = np.linalg.det(transform[:, :3]) ** (1 / 3)
    box, (x, y, z) = _head_coordinates(solid, transform, shape, margin=1)
    column, row = _cells(solid, x, y)
    # Distances to the three sides in px; of a steep front less than along its depth.
    rim = (_RADIUS - _radius(column, row)) * np.float32(solid.step.mean() * unit)
    inside = np.minimum((z - np.float32(solid.back)) * np.float32(unit), rim)
    part = inside > -width / 2
    front = (_front(solid, column[part], row[part]) - z[part]) * np.float32(unit)
    inside[part] = np.minimum(inside[part], front)
    occupancy = np.zeros(shape, np.float32)
    occupancy[box] = np.clip(0.5 + inside / np.float32(width), 0, 1)
    return occupancy


def _head_coordinates(
    solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int], margin: int = 0
) -> tuple[tuple[slice, ...], list[np.ndarray]]:
    """The box of voxels that the solid may touch, and x, y, z of its voxels' centres."""
    inverse = np.linalg.inv(transform[:, :3])
    to_head = inverse @ crop_from_voxel(shape)
    to_head[:, 3] -= inverse @ transform[:, 3]
    corners = np.sort(transform_points(voxel_from_crop(shape), solid_extent(solid, transform)), 0)
    low = np.clip(np.floor(corners[0]).astype(int) - margin, 0, shape)
    high = np.clip(np.ceil(corners[1]).astype(int) + 1 + margin, 0, shape)
    axes = [np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    # The transform is affine, so each coordinate is a sum over the three axes.
    coordinates = [
        (row[0] * axes[0])[:, None, None]
        + (row[1] * axes[1])[None, :, None]
        + (row[2] * axes[2] + row[3])[None, None, :]
        for row in to_head.astype(np.float32)
    ]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), coordinates


_RADIUS = np.float32((_GRID - 1) / 2)


def _cells(solid: FaceSolid, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row in the depth map."""
    column = (x - np.float32(solid.low[0])) / np.float32(solid.step[0])
    row = (y - np.float32(solid.low[1])) / np.float32(solid.step[1])
    return column, row


def _radius(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(column - _RADIUS) + np.square(row - _RADIUS))


def _front(solid: FaceSolid, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(
        solid.depth, [row, column], order=1, mode="nearest", prefilter=False
    )
