"""Volumes made small on the device that computed them, before they leave it."""

import numpy as np
import torch
from torch.nn import functional

from rayboot.geometry.volume import cell_steps

__all__ = ["mean_of_cells", "pack_bits"]


def pack_bits(volumes: torch.Tensor, isovalue: float) -> torch.Tensor:
    """Which voxels reach ``isovalue``, eight to a byte.

    Args:
        volumes: (B, D, H, W) float in [0, 1]; W a multiple of 8.
        isovalue: threshold.

    Returns:
        (B, D, H, W / 8) uint8, the first voxel in the highest bit; on the same device.
    """
    occupied = volumes >= isovalue
    if volumes.device.type == "cpu":
        return torch.from_numpy(np.packbits(occupied.numpy(), axis=-1))
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=volumes.device)
    eights = occupied.unflatten(-1, (-1, 8)).to(torch.uint8)
    return (eights * weights).sum(dim=-1, dtype=torch.uint8)


def mean_of_cells(volumes: torch.Tensor, cell: int) -> torch.Tensor:
    """Mean occupancy of cubes of ``cell`` px in steps of 1/255; of voxels for 0.

    Args:
        volumes: (B, D, H, W) float in [0, 1].
        cell: edge of a cube, px.

    Returns:
        (B, D', H', W') uint8, as :func:`rayboot.geometry.volume.coarsen` has them; on the same
        device.
    """
    steps = cell_steps(cell)
    if cell:
        rest = [-length % step for length, step in zip(volumes.shape[1:], steps, strict=True)]
        around = [edge for after in reversed(rest) for edge in (0, after)]
        padded = functional.pad(volumes, around) if any(rest) else volumes
        # In two steps: no CPU kernel pools three axes of bfloat16.
        slices = padded.unflatten(1, (-1, steps[0])).mean(dim=2, dtype=torch.float32)
        volumes = functional.avg_pool2d(slices, cell)
    return (volumes * 255).round_().to(torch.uint8)
