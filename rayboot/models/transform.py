"""Training targets on the device: bits unpacked, and turned as their views are, in a batch.

The same as :func:`rayboot.geometry.volume.transform_volume` a volume at a time, but for
rounding: of the voxels that lie on the surface, one in ten thousand may differ.
"""

import itertools

import numpy as np
import torch
from torch.nn import functional

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.volume import occupied_box, voxel_transform

__all__ = ["transform_volumes", "unpack_bits"]

_STILL = 1e-9
"""Coefficients below it do not move a voxel."""


def unpack_bits(bits: torch.Tensor) -> torch.Tensor:
    """Volumes (B, D, H, W) bool of their bits (B, D, H, W / 8) uint8, the first in the highest."""
    if bits.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1).view(bool))
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    return ((bits.unsqueeze(-1) >> places) & 1).flatten(-2).bool()


def transform_volumes(volumes: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
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
    forward = _forward(transforms, (depth, height, width))
    inverse = np.linalg.inv(forward[:, :, :3])
    offset = -np.einsum("bij,bj->bi", inverse, forward[:, :, 3])
    level = np.abs(inverse[:, [1, 0, 1, 2], [0, 1, 2, 1]]).max(axis=1, initial=0.0) < _STILL
    turned = torch.zeros_like(volumes)
    for chosen, turn in ((level, _turn_level), (~level, _turn_any)):
        places = np.flatnonzero(chosen)
        if len(places) == 0:
            continue
        part = volumes[torch.from_numpy(places).to(volumes.device)]
        source, target = _boxes(part, forward[chosen])
        moved = turn(part, inverse[chosen], offset[chosen], source, target)
        turned[(torch.from_numpy(places).to(volumes.device), *target)] = moved >= 0.5
    return turned


def _forward(transforms: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """From source indices to target indices: affines (B, 3, 4)."""
    moved = [voxel_transform(transform, shape) for transform in transforms]
    forward = np.array(moved).reshape(-1, 3, 4)
    if np.abs(np.linalg.det(forward[:, :, :3])).min(initial=1.0) < 1e-9:
        raise DegenerateInputError("a transform flattens its volume; it has no inverse")
    return forward


_Box = tuple[slice, slice, slice]


def _boxes(volumes: torch.Tensor, forward: np.ndarray) -> tuple[_Box, _Box]:
    """What all volumes together occupy, and where their transforms may carry it.

    On a GPU the whole volume: looking there would make it wait.
    """
    whole: _Box = tuple(slice(0, length) for length in volumes.shape[1:])  # type: ignore[assignment]
    if volumes.device.type != "cpu":
        return whole, whole
    occupied = np.asarray(volumes.numpy().any(axis=0))
    if not occupied.any():
        return whole, whole
    source = occupied_box(occupied)
    ends = [(side.start - 1, side.stop) for side in source]
    corners = np.array(list(itertools.product(*ends)))
    reached = corners @ forward[:, :, :3].transpose(0, 2, 1) + forward[:, None, :, 3]
    low = np.floor(reached.min(axis=(0, 1))).astype(int)
    high = np.ceil(reached.max(axis=(0, 1))).astype(int) + 1
    target = tuple(
        slice(*np.clip([start, stop], 0, length).tolist())
        for start, stop, length in zip(low, high, occupied.shape, strict=True)
    )
    return source, target  # type: ignore[return-value]


def _turn_level(
    volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray, source: _Box, target: _Box
) -> torch.Tensor:
    """Turns about the vertical, which leave rows rows.

    All rows of a volume then share one resampling of the horizontal plane, and all its
    columns one of the vertical.
    """
    _, depth, _, width = volumes.shape
    ranges = [np.arange(side.start, side.stop) for side in target]
    slices, columns = np.meshgrid(ranges[0], ranges[2], indexing="ij")
    plane = np.stack([slices, columns], axis=-1)
    places = plane @ inverse[:, [0, 2]][:, :, [0, 2]].transpose(0, 2, 1)[:, None]
    places = places + offset[:, None, None, [0, 2]]
    values = volumes[:, :, source[1]].transpose(1, 2).float()
    turned = _sample(values, _normalized(places[..., ::-1], (width, depth), values))
    rows = ranges[1] * inverse[:, 1, 1, None] + offset[:, 1, None]
    weights = torch.from_numpy(_lerp_weights(rows, source[1])).to(values)
    mixed = torch.bmm(weights, turned.flatten(2))
    return mixed.unflatten(2, slices.shape).transpose(1, 2)


def _lerp_weights(places: np.ndarray, rows: slice) -> np.ndarray:
    """(B, R, rows) float32 whose product interpolates at places (B, R); zero beyond the ends."""
    distance = np.abs(places[:, :, None] - np.arange(rows.start, rows.stop))
    return np.clip(1 - distance, 0, None).astype(np.float32)


def _turn_any(
    volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray, source: _Box, target: _Box
) -> torch.Tensor:
    lengths = tuple(reversed(volumes.shape[1:]))
    ranges = [np.arange(side.start, side.stop) for side in target]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
    turned = []
    # One at a time: the grid of a volume is three times as large as the volume.
    for volume, matrix, start in zip(volumes, inverse, offset, strict=True):
        places = index @ matrix.T + start
        values = volume[None, None].float()
        turned.append(_sample(values, _normalized(places[None, ..., ::-1], lengths, values))[0, 0])
    return torch.stack(turned)


def _normalized(places: np.ndarray, lengths: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Indices to grid_sample's range of -1 to 1 over the middles of the outermost voxels."""
    scaled = 2 * places / (np.array(lengths) - 1) - 1
    return torch.from_numpy(scaled.astype(np.float32)).to(like.device)


def _sample(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return functional.grid_sample(
        values, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
