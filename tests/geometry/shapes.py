"""Solids whose shape is known in closed form."""

import numpy as np

from rayboot.geometry.camera import crop_from_voxel, transform_points


def voxel_points(shape: tuple[int, int, int]) -> np.ndarray:
    """Returns x, y, z (D, H, W, 3) of every voxel's centre."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return transform_points(crop_from_voxel(shape), indices.reshape(-1, 3)).reshape(*shape, 3)


def soft_sphere(shape: tuple[int, int, int], centre: np.ndarray, radius: float) -> np.ndarray:
    """Returns the occupancy (D, H, W) float32 of a sphere; it is 0.5 on the surface."""
    distance = np.linalg.norm(voxel_points(shape) - centre, axis=-1)
    return (1 / (1 + np.exp(2 * (distance - radius)))).astype(np.float32)
