"""Compression of predicted volumes on the device that computed them, before they are copied."""

import numpy as np
import torch
from torch.nn import functional

from rayboot.geometry.volume import voxels_per_cell

__all__ = ["coarsen_volumes", "pack_bits", "pack_on_device"]


def pack_bits(volumes: torch.Tensor, isovalue: float) -> torch.Tensor:
    """Returns which voxels reach ``isovalue``, eight to a byte.

    Args:
        volumes: (B, D, H, W) float in [0, 1]; W a multiple of 8.
        isovalue: level at or above which a voxel is occupied.

    Returns:
        (B, D, H, W / 8) uint8, the first voxel in the highest bit; on the same device.
    """
    occupied = volumes >= isovalue
    if volumes.device.type == "cpu":
        return torch.from_numpy(np.packbits(occupied.numpy(), axis=-1))
    return pack_on_device(occupied)


def pack_on_device(occupied: torch.Tensor) -> torch.Tensor:
    """Packs (B, D, H, W) bool as :func:`pack_bits` does, with operations of any device.

    The shifts are computed on the device: a tensor made from Python numbers would be copied
    there, and the copy waits until the device has finished all its queued work.
    """
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=occupied.device)
    groups = torch.unflatten(occupied, -1, (-1, 8)).to(torch.uint8)
    return (groups << shifts).sum(dim=-1, dtype=torch.uint8)


def coarsen_volumes(volumes: torch.Tensor, cell: int) -> torch.Tensor:
    """Returns the mean occupancy of cubes in steps of 1/255.

    Args:
        volumes: (B, D, H, W) float in [0, 1].
        cell: edge length of a cube, px; 0 stands for single voxels.

    Returns:
        (B, D', H', W') uint8, on the same device; 255 times the values of
        :func:`rayboot.geometry.volume.coarsen`, rounded.
    """
    steps = voxels_per_cell(cell)
    if cell:
        missing = [-length % step for length, step in zip(volumes.shape[1:], steps, strict=True)]
        padding = [edge for after in reversed(missing) for edge in (0, after)]
        padded = functional.pad(volumes, padding) if any(missing) else volumes
        # In two steps, because no CPU kernel pools three axes of bfloat16.
        slices = torch.unflatten(padded, 1, (-1, steps[0])).mean(dim=2, dtype=torch.float32)
        volumes = functional.avg_pool2d(slices, cell)
    return (volumes * 255).round_().to(torch.uint8)
