"""Soft occupancy from depth maps: rotated exactly, on the device, without resampling a volume."""

import numpy as np
import torch
from torch.nn import functional

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import SLICES_PER_PIXEL
from rayboot.models.device_transfer import to_device_async
from rayboot.models.volume_filters import upsample_cubic

__all__ = ["measure_columns", "soft_occupancy"]

_MIN_SLOPE_FACTOR = 0.15
"""Smallest ratio of the distance to a surface and the distance along the depth axis: steeper
surfaces, such as the step at a nostril, are thinner than a cell of the maps."""


def soft_occupancy(
    maps: torch.Tensor,
    transforms: np.ndarray,
    shape: tuple[int, int, int],
    crop_size: int,
    softness: float,
) -> torch.Tensor:
    """Returns the volumes of transformed solids; occupancy falls from 1 to 0 across the surface.

    Every voxel's centre is mapped back to the frame of the depth maps and compared with them.

    Args:
        maps: (B, 3, h, w) float32 as :func:`~rayboot.geometry.surface_depth.unpack_surface_depth`
            returns them.
        transforms: (B, 3, 4) float64, from each source's frame to its target's, px; similarities.
        shape: (D, H, W) of the volumes, whose columns divide the crop evenly.
        crop_size: width of the crop, px.
        softness: distance over which the occupancy falls from 1 to 0, px.

    Returns:
        (B, D, H, W) float32 in [0, 1]; 0.5 on the surface.

    Raises:
        ShapeError: maps or transforms have another shape, or their numbers differ.
        DegenerateInputError: a transform has no inverse.
    """
    if maps.ndim != 4 or maps.shape[1] != 3 or transforms.shape != (len(maps), 3, 4):
        raise ShapeError(
            f"expected maps (B, 3, h, w) and transforms (B, 3, 4), got {tuple(maps.shape)} and "
            f"{transforms.shape}"
        )
    scales = np.cbrt(np.linalg.det(transforms[:, :, :3]))
    if np.abs(scales).min(initial=1.0) < 1e-6:
        raise DegenerateInputError("a transform flattens its solid; it has no inverse")
    inverse = np.linalg.inv(transforms[:, :, :3])
    offset = -np.einsum("bij,bj->bi", inverse, transforms[:, :, 3])
    affines = np.concatenate([inverse, offset[:, :, None]], axis=2)
    # The finer the maps, the less of a narrow tip is cut off by sampling them linearly.
    stacked = _with_slopes(upsample_cubic(maps), crop_size)
    sent = to_device_async(affines.astype(np.float32), maps.device)
    volumes = []
    # One at a time, because positions and samples are several times as large as the volume.
    for solid, affine, on_host, scale in zip(stacked, sent, affines, scales, strict=True):
        is_in_plane = float(np.abs(on_host[:2, 2]).max()) < 1e-9
        distance = _distances(solid, affine, shape, crop_size, is_in_plane)
        volumes.append((0.5 + distance * float(scale / softness)).clamp_(0, 1))
    return torch.stack(volumes)


def _with_slopes(maps: torch.Tensor, crop_size: int) -> torch.Tensor:
    """Returns (B, 4, h, w): front, back, outline, and the factor from depth to distance."""
    front = functional.pad(maps[:, :1], (1, 1, 1, 1), mode="replicate")
    cells = 2 * crop_size / maps.shape[-1]
    across = (front[..., 1:-1, 2:] - front[..., 1:-1, :-2]) / cells
    down = (front[..., 2:, 1:-1] - front[..., :-2, 1:-1]) / cells
    factor = (1 + across.square() + down.square()).rsqrt().clamp(min=_MIN_SLOPE_FACTOR)
    return torch.cat([maps, factor], dim=1)


def _distances(
    solid: torch.Tensor,
    affine: torch.Tensor,
    shape: tuple[int, int, int],
    crop_size: int,
    is_in_plane: bool,
) -> torch.Tensor:
    """Returns the distance (D, H, W) of each voxel to the surface, px of the source.

    Args:
        solid: (4, h, w) as :func:`_with_slopes` returns it.
        affine: (3, 4), from the target's frame to the source's.
        shape: (D, H, W) of the volume.
        crop_size: width of the crop, px.
        is_in_plane: whether all voxels of a column lie in one column of the source, so that the
            maps are sampled once for all slices.
    """
    depth, height, width = shape
    x = _positions(width, crop_size, affine)
    y = -_positions(height, crop_size, affine)
    z = (torch.arange(depth, device=affine.device) - (depth - 1) / 2) / SLICES_PER_PIXEL
    in_plane = affine[:, 0, None, None] * x + affine[:, 1, None, None] * y[:, None]
    source = in_plane[:, None] + (affine[:, 2, None] * z + affine[:, 3, None])[:, :, None, None]
    sampled_at = source[:2, :1] if is_in_plane else source[:2]
    # Between -1 and 1 from edge to edge; rows grow downward.
    grid = torch.stack([sampled_at[0], -sampled_at[1]], dim=-1) * (2 / crop_size)
    flat = grid.reshape(1, -1, width, 2)
    sampled = functional.grid_sample(
        solid[None], flat, mode="bilinear", padding_mode="border", align_corners=False
    )
    front, back, outline, factor = sampled[0].reshape(4, -1, height, width)
    beyond = (grid.abs().amax(dim=-1) - 1).clamp_(min=0) * (crop_size / 2)
    distance = torch.minimum((front - source[2]) * factor, source[2] - back)
    return torch.minimum(distance, outline - beyond)


def _positions(count: int, crop_size: int, like: torch.Tensor) -> torch.Tensor:
    """Returns the centres of evenly spaced cells across the crop, px, 0 in the middle."""
    cells = torch.arange(count, device=like.device, dtype=like.dtype)
    return (cells + 0.5) * (crop_size / count) - crop_size / 2


def measure_columns(fields: torch.Tensor) -> torch.Tensor:
    """Measures a batch as :func:`rayboot.geometry.surface_depth.measure_columns` does.

    Args:
        fields: (B, D, h, w) float, positive inside the solids.

    Returns:
        (B, 3, h, w) float32, on the same device.
    """
    num_slices = fields.shape[1]
    fields = fields.float()
    # Bytes where they suffice, because the volume is read several times.
    kind = torch.uint8 if num_slices < 255 else torch.int16
    inside = (fields > 0).to(kind)
    order = torch.arange(1, num_slices + 1, device=fields.device, dtype=kind)[:, None, None]
    last = (inside * order).amax(dim=1, keepdim=True).long() - 1
    first = num_slices - (inside * order.flip(0)).amax(dim=1, keepdim=True).long()
    is_empty = last < 0
    # As without torch: the first of equal values, of a column from either end.
    last = torch.where(is_empty, num_slices - 1, last)
    first = torch.where(is_empty, 0, first)
    above = _crossing(fields, last, (last + 1).clamp(max=num_slices - 1))
    below = _crossing(fields, first, (first - 1).clamp(min=0))
    middle = (num_slices - 1) / 2
    front = (last + above - middle) / SLICES_PER_PIXEL
    back = (first - below - middle) / SLICES_PER_PIXEL
    return torch.cat([front, back, fields.amax(dim=1, keepdim=True)], dim=1)


def _crossing(fields: torch.Tensor, inner: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
    """Returns where between two slices the fields are zero, as a fraction from ``inner``."""
    inside, outside = (fields.gather(1, index) for index in (inner, outer))
    crosses = (inside > 0) & (outside <= 0)
    step = torch.where(crosses, inside - outside, 1.0)
    return torch.where(crosses, inside / step, 0.5)
