"""Volumes as training targets: unpacked and transformed in batches, on the device.

The result equals that of :func:`rayboot.geometry.volume.transform_volume` on each
volume except for rounding: of the voxels on the surface, one in ten thousand may
differ.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.volume import occupied_box, voxel_transform
from rayboot.models.device_transfer import to_device_async

__all__ = ["transform_volumes", "unpack_bits", "unpack_on_device"]

_ZERO_TOLERANCE = 1e-9
"""Absolute value below which a coefficient counts as zero; it moves no voxel noticeably."""


def unpack_bits(bits: torch.Tensor) -> torch.Tensor:
    """Returns the volumes (B, D, H, W) bool of packed bits.

    Args:
        bits: (B, D, H, W / 8) uint8, the first voxel in the highest bit.
    """
    if bits.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1).view(bool))
    return unpack_on_device(bits)


def unpack_on_device(bits: torch.Tensor) -> torch.Tensor:
    """Unpacks as :func:`unpack_bits` does, with operations of any device."""
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
    inverse = _invert(forward)
    transformed = torch.zeros_like(volumes)
    for chosen, resample in _split_by_kind(inverse):
        part, matrices, rows = volumes, inverse, None
        if len(chosen) < len(volumes):
            # Which samples are of a kind is known on the host: no work on the device is awaited.
            rows = to_device_async(chosen, volumes.device)
            part, matrices = volumes[rows], inverse[chosen]
        source, target = _boxes(part, forward[chosen])
        resampled = resample(part, to_device_async(matrices, volumes.device), source, target)
        transformed[(slice(None) if rows is None else rows, *target)] = resampled >= 0.5
    return transformed


def _invert(forward: np.ndarray) -> np.ndarray:
    """Returns the affines (B, 3, 4) from target to source voxel indices."""
    linear = np.linalg.inv(forward[:, :, :3])
    offset = -np.einsum("bij,bj->bi", linear, forward[:, :, 3])
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _split_by_kind(inverse: np.ndarray) -> Iterator[tuple[np.ndarray, "_Resample"]]:
    """Yields the indices of the samples that map rows to rows, and of the others."""
    couplings = np.abs(inverse[:, [1, 0, 1, 2], [0, 1, 2, 1]])
    keeps_rows = couplings.max(axis=1, initial=0.0) < _ZERO_TOLERANCE
    for chosen, resample in ((keeps_rows, _resample_rows), (~keeps_rows, _resample_general)):
        if chosen.any():
            yield np.flatnonzero(chosen), resample


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


_Resample = Callable[[torch.Tensor, torch.Tensor, _Box, _Box], torch.Tensor]


def _resample_rows(
    volumes: torch.Tensor, inverse: torch.Tensor, source: _Box, target: _Box
) -> torch.Tensor:
    """Resamples under rotations about the vertical, which map rows to rows.

    All rows of a volume then share one resampling of the horizontal plane, and all its
    columns one of the vertical axis. Sampling grids are computed on the device of the volumes:
    from the host they would be copied there for every step of a training.

    Args:
        volumes: (B, D, H, W) bool.
        inverse: (B, 3, 4) float64 from target to source voxel indices, on the same device.
        source: box that the volumes occupy.
        target: box of the result.

    Returns:
        The values (B, D', H', W') float32 in the target box.
    """
    _, depth, _, width = volumes.shape
    slices, rows, columns = (_positions(side, inverse) for side in target)
    # (B, D', W', 2): for each slice and column of the target, those of the source.
    plane = inverse[:, None, None, 0::2]
    indices = slices[:, None, None] * plane[..., 0] + columns[:, None] * plane[..., 2]
    indices = indices + plane[..., 3]
    values = volumes[:, :, source[1]].transpose(1, 2).float()
    planes = _sample(values, _normalize(indices.flip(-1), (width, depth)))
    weights = _linear_weights(rows * inverse[:, 1, 1, None] + inverse[:, 1, 3, None], source[1])
    resampled = torch.bmm(weights, planes.flatten(2))
    return torch.unflatten(resampled, 2, planes.shape[2:]).transpose(1, 2)


def _linear_weights(positions: torch.Tensor, rows: slice) -> torch.Tensor:
    """Returns the weights (B, R, rows) float32 of linear interpolation; zero beyond the ends.

    Args:
        positions: (B, R) float64, fractional row indices.
        rows: range of the rows that are interpolated.
    """
    distance = (positions[:, :, None] - _positions(rows, positions)).abs()
    return (1 - distance).clamp(min=0).float()


def _resample_general(
    volumes: torch.Tensor, inverse: torch.Tensor, source: _Box, target: _Box
) -> torch.Tensor:
    """Resamples under any affine; arguments and result are those of :func:`_resample_rows`."""
    lengths = tuple(reversed(volumes.shape[1:]))
    slices, rows, columns = (_positions(side, inverse)[:, None] for side in target)
    resampled = []
    # One at a time, because the sampling grid is three times as large as the volume.
    for volume, affine in zip(volumes, inverse, strict=True):
        along_slices, along_rows, along_columns, start = affine.unbind(1)
        plane = (slices * along_slices)[:, None] + rows * along_rows + start
        positions = plane[:, :, None] + columns * along_columns
        grid = _normalize(positions[None].flip(-1), lengths)
        resampled.append(_sample(volume[None, None].float(), grid)[0, 0])
    return torch.stack(resampled)


def _positions(side: slice, like: torch.Tensor) -> torch.Tensor:
    """Returns the indices of a range, with dtype and device of another tensor."""
    return torch.arange(side.start, side.stop, dtype=like.dtype, device=like.device)


def _normalize(indices: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    """Converts indices (..., K) to grid_sample's range, float32.

    The range is -1 to 1 between the centres of the outermost voxels.
    """
    scaled = [
        2 * index / (length - 1) - 1
        for index, length in zip(indices.unbind(-1), lengths, strict=True)
    ]
    return torch.stack(scaled, dim=-1).float()


def _sample(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return functional.grid_sample(
        values, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
