"""Training targets on the device: bits unpacked, and turned as their views are, in a batch.

The same as :func:`rayboot.geometry.volume.transform_volume` a volume at a time, but for
rounding: of the voxels that lie on the surface, one in ten thousand may differ.
"""

import numpy as np
import torch
from torch.nn import functional

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.volume import voxel_transform

__all__ = ["turn_volumes", "unpack_bits"]

_STILL = 1e-9
"""Coefficients below it do not move a voxel."""


def unpack_bits(bits: torch.Tensor) -> torch.Tensor:
    """Volumes (B, D, H, W) bool of their bits (B, D, H, W / 8) uint8, the first in the highest."""
    if bits.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1).view(bool))
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    return ((bits.unsqueeze(-1) >> places) & 1).flatten(-2).bool()


def turn_volumes(volumes: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
    """Carries volumes through affines of the frame, trilinearly; outside is empty.

    Args:
        volumes: (B, D, H, W) bool.
        transforms: (B, 3, 4) float64, from each source's frame to its target's, px.

    Returns:
        (B, D, H, W) bool: half or more.

    Raises:
        ShapeError: the two do not go together.
        DegenerateInputError: an affine has no inverse.
    """
    if volumes.ndim != 4 or transforms.shape != (len(volumes), 3, 4):
        raise ShapeError(
            f"expected volumes (B, D, H, W) and transforms (B, 3, 4), got "
            f"{tuple(volumes.shape)} and {transforms.shape}"
        )
    depth, height, width = volumes.shape[1:]
    inverse, offset = _inverses(transforms, (depth, height, width))
    level = np.abs(inverse[:, [1, 0, 1, 2], [0, 1, 2, 1]]).max(axis=1, initial=0.0) < _STILL
    turned = torch.empty_like(volumes)
    for chosen, turn in ((level, _turn_level), (~level, _turn_any)):
        if chosen.any():
            places = torch.from_numpy(np.flatnonzero(chosen)).to(volumes.device)
            moved = turn(volumes[places].float(), inverse[chosen], offset[chosen])
            turned[places] = moved >= 0.5
    return turned


def _inverses(transforms: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """From target indices to source indices: matrices (B, 3, 3), offsets (B, 3)."""
    moved = [voxel_transform(transform, shape) for transform in transforms]
    forward = np.array(moved).reshape(-1, 3, 4)
    if np.abs(np.linalg.det(forward[:, :, :3])).min(initial=1.0) < 1e-9:
        raise DegenerateInputError("a transform flattens its volume; it has no inverse")
    inverse = np.linalg.inv(forward[:, :, :3])
    return inverse, -np.einsum("bij,bj->bi", inverse, forward[:, :, 3])


def _turn_level(volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray) -> torch.Tensor:
    """Turns about the vertical, which leave rows rows.

    All rows of a volume then share one resampling of the horizontal plane, and all its
    columns one of the vertical.
    """
    _, depth, height, width = volumes.shape
    slices, columns = np.meshgrid(np.arange(depth), np.arange(width), indexing="ij")
    plane = np.stack([slices, columns], axis=-1)
    source = plane @ inverse[:, [0, 2]][:, :, [0, 2]].transpose(0, 2, 1)[:, None]
    source = source + offset[:, None, None, [0, 2]]
    grid = _normalized(source[..., ::-1], (width, depth), volumes)
    turned = _sample(volumes.transpose(1, 2), grid)
    rows = np.arange(height) * inverse[:, 1, 1, None] + offset[:, 1, None]
    weights = torch.from_numpy(_lerp_weights(rows, height)).to(volumes)
    return torch.bmm(weights, turned.flatten(2)).unflatten(2, (depth, width)).transpose(1, 2)


def _lerp_weights(places: np.ndarray, count: int) -> np.ndarray:
    """(B, R, count) float32 whose product interpolates at places (B, R); zero beyond the ends."""
    distance = np.abs(places[:, :, None] - np.arange(count))
    return np.clip(1 - distance, 0, None).astype(np.float32)


def _turn_any(volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray) -> torch.Tensor:
    shape = volumes.shape[1:]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    turned = []
    # One at a time: the grid of a volume is three times as large as the volume.
    for volume, matrix, start in zip(volumes, inverse, offset, strict=True):
        source = index @ matrix.T + start
        grid = _normalized(source[None, ..., ::-1], tuple(reversed(shape)), volumes)
        turned.append(_sample(volume[None, None], grid)[0, 0])
    return torch.stack(turned)


def _normalized(places: np.ndarray, lengths: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Indices to grid_sample's range of -1 to 1 over the middles of the outermost voxels."""
    scaled = 2 * places / (np.array(lengths) - 1) - 1
    return torch.from_numpy(scaled.astype(np.float32)).to(like.device)


def _sample(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return functional.grid_sample(
        values, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
