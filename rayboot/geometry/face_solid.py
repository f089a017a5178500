"""The face of a head as an occupancy volume, made as VRN's training volumes were.

The solid is a depth map of the frontal face inside an ellipse, without ears and
neck, filled back to a plane. It is rotated analytically: each voxel's centre is
mapped back to the head's frame and compared with the depth map, so no volume is
resampled.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from rayboot.geometry.camera import crop_from_voxel, transform_points, voxel_from_crop
from rayboot.geometry.depth_map import draw_depth_map

__all__ = [
    "FaceSolid",
    "build_face_solid",
    "fill_soft_volume",
    "fill_volume",
    "head_coordinates",
    "solid_bounds",
]

_GRID_SIZE = 112
"""Width and height of the depth map; about two cells per pixel of a 96 px crop."""

_GRID_RADIUS = np.float32((_GRID_SIZE - 1) / 2)
"""Radius of the ellipse in cells of the depth map, in which it is a circle."""


_JAW_MARGIN = 1.04
"""Half-width of the ellipse relative to that of the jaw, whose ends before the ears then lie on
the solid."""


class FaceSolid(NamedTuple):
    """A face filled back to a plane, in the head's frame.

    Attributes:
        depth: (G, G) float32, z of the front surface; rows increase with y.
        low: (2,) x and y of the first cell.
        step: (2,) distances between neighbouring cells along x and y.
        inside: (G, G) bool, cells inside the ellipse.
        back: z of the back plane.
    """

    depth: np.ndarray
    low: np.ndarray
    step: np.ndarray
    inside: np.ndarray
    back: float


def build_face_solid(
    vertices: np.ndarray, faces: np.ndarray, jaw: np.ndarray, depth: float
) -> FaceSolid:
    """Returns the solid of a frontal face.

    Args:
        vertices: (N, 3) vertices of the whole head, head's frame.
        faces: (F, 3) triangles of the face region.
        jaw: (17, 3) landmarks 0 to 16, which span the ellipse.
        depth: distance from the tip of the nose to the back plane, in the vertices' unit.
    """
    half_width = _JAW_MARGIN * np.abs(jaw[:, 0]).max()
    bottom = jaw[8, 1] - 0.05
    radii = np.array([1.0, 1.1]) * half_width
    centre = np.array([0.0, bottom + radii[1]])
    step = 2 * radii / (_GRID_SIZE - 1)
    low = centre - radii
    front = draw_depth_map(vertices, faces, low, step, _GRID_SIZE)
    known = np.isfinite(front)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    front = front[tuple(nearest)]
    axis = np.linspace(-1, 1, _GRID_SIZE)
    inside = np.square(axis)[None] + np.square(axis)[:, None] <= 1
    back = float(front[inside].max() - depth)
    return FaceSolid(front.astype(np.float32), low, step, inside, back)


def solid_bounds(solid: FaceSolid, transform: np.ndarray) -> np.ndarray:
    """Returns the lowest and highest x, y, z (2, 3) of the solid after ``transform`` (3, 4)."""
    rows, columns = np.nonzero(solid.inside)
    plane = solid.low + np.column_stack([columns, rows]) * solid.step
    front = np.maximum(solid.depth[rows, columns], solid.back)
    points = np.concatenate(
        [np.column_stack([plane, z]) for z in (front, np.full(len(plane), solid.back))]
    )
    transformed = transform_points(transform, points)
    return np.stack([transformed.min(axis=0), transformed.max(axis=0)])


def fill_volume(solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the occupancy (D, H, W) bool of the transformed solid in a crop's frame.

    Args:
        solid: the solid, in the head's frame.
        transform: (3, 4), from the head's frame to the crop's.
        shape: (D, H, W) of the volume.
    """
    box, (x, y, z) = head_coordinates(solid_bounds(solid, transform), transform, shape)
    column, row = _depth_map_cells(solid, x, y)
    part = (z >= np.float32(solid.back)) & (_radius(column, row) <= _GRID_RADIUS)
    part[part] = z[part] <= _front_depth(solid, column[part], row[part])
    occupied = np.zeros(shape, bool)
    occupied[box] = part
    return occupied


def fill_soft_volume(
    solid: FaceSolid, transform: np.ndarray, shape: tuple[int, int, int], width: float = 1.5
) -> np.ndarray:
    """Returns the occupancy (D, H, W) float32 in [0, 1], which falls off across the surface.

    Args:
        solid: the solid, in the head's frame.
        transform: (3, 4), from the head's frame to the crop's.
        shape: (D, H, W) of the volume.
        width: distance over which the occupancy falls from 1 to 0, px; it is 0.5 at the surface.
    """
    unit = np.linalg.det(transform[:, :3]) ** (1 / 3)
    box, (x, y, z) = head_coordinates(solid_bounds(solid, transform), transform, shape, margin=1)
    column, row = _depth_map_cells(solid, x, y)
    # Signed distances to the three sides, px. The distance to the front is measured along the
    # depth axis, which overestimates it where the front is steep.
    rim = (_GRID_RADIUS - _radius(column, row)) * np.float32(solid.step.mean() * unit)
    distance = np.minimum((z - np.float32(solid.back)) * np.float32(unit), rim)
    part = distance > -width / 2
    front = (_front_depth(solid, column[part], row[part]) - z[part]) * np.float32(unit)
    distance[part] = np.minimum(distance[part], front)
    occupancy = np.zeros(shape, np.float32)
    occupancy[box] = np.clip(0.5 + distance / np.float32(width), 0, 1)
    return occupancy


def head_coordinates(
    bounds: np.ndarray, transform: np.ndarray, shape: tuple[int, int, int], margin: int = 0
) -> tuple[tuple[slice, ...], list[np.ndarray]]:
    """Returns the voxels that a solid may touch, and where they lie in the head's frame.

    Args:
        bounds: (2, 3) lowest and highest x, y, z of the solid in the crop's frame, px.
        transform: (3, 4), from the head's frame to the crop's.
        shape: (D, H, W) of the volume.
        margin: number of voxels that are added on each side.

    Returns:
        The box of voxels as slices, and x, y, z (three arrays float32 of the box's shape) of
        their centres.
    """
    inverse = np.linalg.inv(transform[:, :3])
    head_from_voxel = inverse @ crop_from_voxel(shape)
    head_from_voxel[:, 3] -= inverse @ transform[:, 3]
    corners = np.sort(transform_points(voxel_from_crop(shape), bounds), 0)
    low = np.clip(np.floor(corners[0]).astype(int) - margin, 0, shape)
    high = np.clip(np.ceil(corners[1]).astype(int) + 1 + margin, 0, shape)
    axes = [np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    # The transform is affine, so each coordinate is a sum over the three axes.
    coordinates = [
        (row[0] * axes[0])[:, None, None]
        + (row[1] * axes[1])[None, :, None]
        + (row[2] * axes[2] + row[3])[None, None, :]
        for row in head_from_voxel.astype(np.float32)
    ]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), coordinates


def _depth_map_cells(
    solid: FaceSolid, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the column and row, as fractions of cells, of x and y in the depth map."""
    column = (x - np.float32(solid.low[0])) / np.float32(solid.step[0])
    row = (y - np.float32(solid.low[1])) / np.float32(solid.step[1])
    return column, row


def _radius(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Returns the distance from the centre of the depth map, in cells."""
    return np.asarray(np.sqrt(np.square(column - _GRID_RADIUS) + np.square(row - _GRID_RADIUS)))


def _front_depth(solid: FaceSolid, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Returns z of the front surface at fractional columns and rows, bilinearly."""
    depth: np.ndarray = ndimage.map_coordinates(
        solid.depth, [row, column], order=1, mode="nearest", prefilter=False
    )
    return depth
