"""Volumes as training targets: unpacked and transformed in batches, on the device.

The result equals that of :func:`rayboot.geometry.volume.transform_volume` on each
volume except for rounding: of the voxels on the surface, one in ten thousand may
differ.
"""

import itertools

import numpy as np
import torch
from torch.nn import functional

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.volume import occupied_box, voxel_transform

__all__ = ["transform_volumes", "unpack_bits"]

_ZERO_TOLERANCE = 1e-9
"""Absolute value below which a coefficient counts as zero; it moves no voxel noticeably."""


def unpack_bits(bits: torch.Tensor) -> torch.Tensor:
    """Returns the volumes (B, D, H, W) bool of packed bits.

    Args:
        bits: (B, D, H, W / 8) uint8, the first voxel in the highest bit.
    """
    if bits.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1).view(bool))
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    return ((bits.unsqueeze(-1) >> shifts) & 1).flatten(-2).bool()


def transform_volumes(volumes: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
    """Resamples volumes under affines of the frame, trilinearly; the outside is empty.

    Args:
        volumes: (B, D, H, W) bool.
        transforms: (B, 3, 4) float64, from each source's frame to its target's, px.

    Returns:
        (B, D, H, W) bool, occupied where at least 0.5.

    Raises:
        ShapeError: volumes or transforms have another shape, or their numbers differ.
        DegenerateInputError: an affine has no inverse.
    """
    if volumes.ndim != 4 or transforms.shape != (len(volumes), 3, 4):
        raise ShapeError(
            f"expected volumes (B, D, H, W) and transforms (B, 3, 4), got "
            f"{tuple(volumes.shape)} and {transforms.shape}"
        )
    depth, height, width = volumes.shape[1:]
    forward = _voxel_transforms(transforms, (depth, height, width))
    inverse = np.linalg.inv(forward[:, :, :3])
    offset = -np.einsum("bij,bj->bi", inverse, forward[:, :, 3])
    couplings = np.abs(inverse[:, [1, 0, 1, 2], [0, 1, 2, 1]])
    keeps_rows = couplings.max(axis=1, initial=0.0) < _ZERO_TOLERANCE
    transformed = torch.zeros_like(volumes)
    for chosen, resample in ((keeps_rows, _resample_rows), (~keeps_rows, _resample_general)):
        indices = np.flatnonzero(chosen)
        if len(indices) == 0:
            continue
        rows = torch.from_numpy(indices).to(volumes.device)
        part = volumes[rows]
        source, target = _boxes(part, forward[chosen])
        resampled = resample(part, inverse[chosen], offset[chosen], source, target)
        transformed[(rows, *target)] = resampled >= 0.5
    return transformed


def _voxel_transforms(transforms: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the affines (B, 3, 4) from source to target voxel indices."""
    affines = [voxel_transform(transform, shape) for transform in transforms]
    forward = np.array(affines).reshape(-1, 3, 4)
    if np.abs(np.linalg.det(forward[:, :, :3])).min(initial=1.0) < 1e-9:
        raise DegenerateInputError("a transform flattens its volume; it has no inverse")
    return forward


_Box = tuple[slice, slice, slice]


def _boxes(volumes: torch.Tensor, forward: np.ndarray) -> tuple[_Box, _Box]:
    """Returns the box that all volumes together occupy, and the box they may be moved to.

    On a GPU both are the whole volume: reading it would make the CPU wait for the GPU.
    """
    depth, height, width = volumes.shape[1:]
    whole = (slice(0, depth), slice(0, height), slice(0, width))
    if volumes.device.type != "cpu":
        return whole, whole
    occupied = np.asarray(volumes.numpy().any(axis=0))
    if not occupied.any():
        return whole, whole
    source = occupied_box(occupied)
    # The interpolation weight of a voxel reaches zero one voxel from its centre.
    edges = [(side.start - 1, side.stop) for side in source]
    corners = np.array(list(itertools.product(*edges)))
    reached = corners @ forward[:, :, :3].transpose(0, 2, 1) + forward[:, None, :, 3]
    low = np.clip(np.floor(reached.min(axis=(0, 1))).astype(int), 0, occupied.shape).tolist()
    high = np.ceil(reached.max(axis=(0, 1))).astype(int) + 1
    high = np.clip(high, 0, occupied.shape).tolist()
    target = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    return source, target


def _resample_rows(
    volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray, source: _Box, target: _Box
) -> torch.Tensor:
    """Resamples under rotations about the vertical, which map rows to rows.

    All rows of a volume then share one resampling of the horizontal plane, and all its
    columns one of the vertical axis.

    Args:
        volumes: (B, D, H, W) bool.
        inverse: (B, 3, 3) from target to source voxel indices.
        offset: (B, 3) that is added to them.
        source: box that the volumes occupy.
        target: box of the result.

    Returns:
        The values (B, D', H', W') float32 in the target box.
    """
    _, depth, _, width = volumes.shape
    ranges = [np.arange(side.start, side.stop) for side in target]
    slices, columns = np.meshgrid(ranges[0], ranges[2], indexing="ij")
    plane = np.stack([slices, columns], axis=-1)
    indices = plane @ inverse[:, [0, 2]][:, :, [0, 2]].transpose(0, 2, 1)[:, None]
    indices = indices + offset[:, None, None, [0, 2]]
    values = volumes[:, :, source[1]].transpose(1, 2).float()
    planes = _sample(values, _normalize(indices[..., ::-1], (width, depth), values))
    rows = ranges[1] * inverse[:, 1, 1, None] + offset[:, 1, None]
    weights = torch.from_numpy(_linear_weights(rows, source[1])).to(values)
    resampled = torch.bmm(weights, planes.flatten(2))
    return torch.unflatten(resampled, 2, slices.shape).transpose(1, 2)


def _linear_weights(positions: np.ndarray, rows: slice) -> np.ndarray:
    """Returns the weights (B, R, rows) float32 of linear interpolation; zero beyond the ends.

    Args:
        positions: (B, R) fractional row indices.
        rows: range of the rows that are interpolated.
    """
    distance = np.abs(positions[:, :, None] - np.arange(rows.start, rows.stop))
    return np.asarray(np.clip(1 - distance, 0, None).astype(np.float32))


def _resample_general(
    volumes: torch.Tensor, inverse: np.ndarray, offset: np.ndarray, source: _Box, target: _Box
) -> torch.Tensor:
    """Resamples under any affine; arguments and result are those of :func:`_resample_rows`."""
    lengths = tuple(reversed(volumes.shape[1:]))
    ranges = [np.arange(side.start, side.stop) for side in target]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
    resampled = []
    # One at a time, because the sampling grid is three times as large as the volume.
    for volume, matrix, start in zip(volumes, inverse, offset, strict=True):
        positions = index @ matrix.T + start
        values = volume[None, None].float()
        grid = _normalize(positions[None, ..., ::-1], lengths, values)
        resampled.append(_sample(values, grid)[0, 0])
    return torch.stack(resampled)


def _normalize(indices: np.ndarray, lengths: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Converts indices to grid_sample's range of -1 to 1 between the outermost voxels' centres."""
    scaled = 2 * indices / (np.array(lengths) - 1) - 1
    return torch.from_numpy(scaled.astype(np.float32)).to(like.device)


def _sample(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return functional.grid_sample(
        values, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
