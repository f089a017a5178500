"""Occupancy volumes: turning them, what falls outside, and bits for storage.

Volumes are (D, H, W), depth first, frame of :mod:`rayboot.geometry.camera`.
"""

import numpy as np
import pyarrow as pa
from scipy import ndimage

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import crop_from_voxel, transform_points, voxel_from_crop

__all__ = [
    "front_depth",
    "keep_largest_component",
    "occupied_box",
    "pack_occupancy",
    "share_clipped",
    "transform_volume",
    "unpack_occupancy",
    "voxel_transform",
]


def voxel_transform(transform: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The affine (3, 4) of ``transform`` (3, 4), acting on voxel indices of ``shape``.

    Depth is stored at twice the image scale, so a rotation of points is no
    rotation of indices; turning an array as if it were shears the shape.
    """
    to_points, to_voxels = np.vstack([crop_from_voxel(shape), [0, 0, 0, 1]]), voxel_from_crop(shape)
    return to_voxels @ np.vstack([transform, [0, 0, 0, 1]]) @ to_points


def transform_volume(occupancy: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Carries a volume through an affine of the frame, trilinearly; outside is empty.

    Args:
        occupancy: (D, H, W) bool, or float in [0, 1].
        transform: (3, 4), from the source's frame to the target's, px.

    Returns:
        (D, H, W): float32, or for bool input bool (half or more).

    Raises:
        ShapeError: not a volume, or not an affine.
        DegenerateInputError: the affine has no inverse.
    """
    occupancy, transform = np.asarray(occupancy), np.asarray(transform, np.float64)
    if occupancy.ndim != 3 or transform.shape != (3, 4):
        raise ShapeError(
            f"expected a volume (D, H, W) and a transform (3, 4), got {occupancy.shape} "
            f"and {transform.shape}"
        )
    forward = voxel_transform(transform, occupancy.shape)
    if abs(np.linalg.det(forward[:, :3])) < 1e-9:
        raise DegenerateInputError("the transform flattens the volume; it has no inverse")
    moved = np.zeros(occupancy.shape, np.float32)
    if (occupancy > 0).any():
        source = occupied_box(occupancy > 0)
        target = _moved_box(source, forward, occupancy.shape)
        inverse = np.linalg.inv(forward[:, :3])
        low_in = np.array([side.start for side in source])
        low_out = np.array([side.start for side in target])
        # Only where the solid comes from and goes to: about a fifth of a face's volume.
        moved[target] = ndimage.affine_transform(
            np.pad(occupancy[source].astype(np.float32), 1),
            inverse,
            offset=inverse @ (low_out - forward[:, 3]) - low_in + 1,
            output_shape=tuple(side.stop - side.start for side in target),
            order=1,
            mode="constant",
            cval=0.0,
        )
    return moved >= 0.5 if occupancy.dtype == bool else moved


def _moved_box(
    box: tuple[slice, slice, slice], forward: np.ndarray, shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    """The box of voxels that ``box`` may reach, cut to the volume."""
    # A voxel's weight ends one voxel from its centre.
    edges = [(side.start - 1, side.stop) for side in box]
    corners = np.stack(np.meshgrid(*edges, indexing="ij"), axis=-1).reshape(-1, 3)
    moved = transform_points(forward, corners)
    low = np.clip(np.floor(moved.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(moved.max(axis=0)).astype(int) + 1, low, shape)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def share_clipped(occupied: np.ndarray, transform: np.ndarray, stride: int = 2) -> float:
    """Share of the occupied voxels that ``transform`` carries out of the volume.

    Args:
        occupied: (D, H, W) bool.
        transform: (3, 4) affine of the frame.
        stride: every ``stride``-th voxel of each axis is looked at.
    """
    indices = np.argwhere(occupied[::stride, ::stride, ::stride]) * stride
    if len(indices) == 0:
        return 0.0
    moved = transform_points(voxel_transform(transform, occupied.shape), indices)
    outside = (moved < -0.5) | (moved > np.array(occupied.shape) - 0.5)
    return float(outside.any(axis=1).mean())


def occupied_box(occupied: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box (slices of D, H, W) that holds every True of ``occupied``.

    Raises:
        DegenerateInputError: nothing is occupied.
    """
    box = []
    plane = np.asarray(occupied.any(axis=0))
    for profile in (occupied.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0)):
        filled = np.flatnonzero(profile)
        if len(filled) == 0:
            raise DegenerateInputError("the volume is empty: no voxel reaches the isovalue")
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return box[0], box[1], box[2]


def keep_largest_component(occupancy: np.ndarray, isovalue: float = 0.5) -> np.ndarray:
    """Empties every component but the largest; specks would tilt pose and extents.

    Args:
        occupancy: (D, H, W) float in [0, 1].
        isovalue: voxels at or above it are occupied.

    Returns:
        (D, H, W) float32; the input itself where it is one component.
    """
    occupied = occupancy >= isovalue
    box = occupied_box(occupied)
    labels, count = ndimage.label(occupied[box])
    if count == 1:
        return occupancy
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    specks = np.zeros(occupancy.shape, bool)
    # Grown by one voxel: the soft rim of a speck must not draw a surface either.
    specks[box] = (labels > 0) & (labels != largest)
    specks = ndimage.binary_dilation(specks, iterations=1) & ~_grown(labels == largest, box, specks)
    return np.where(specks, np.float32(0), occupancy).astype(np.float32)


def _grown(component: np.ndarray, box: tuple[slice, ...], like: np.ndarray) -> np.ndarray:
    whole = np.zeros(like.shape, bool)
    whole[box] = component
    return ndimage.binary_dilation(whole, iterations=1)


def front_depth(occupied: np.ndarray) -> np.ndarray:
    """z of the front-most occupied voxel of every column of sight.

    Args:
        occupied: (D, H, W) bool.

    Returns:
        (H, W) float64, px; NaN where the column is empty.
    """
    depth = occupied.shape[0]
    front = depth - 1 - np.argmax(occupied[::-1], axis=0)
    z = (front - (depth - 1) / 2) / 2
    return np.where(occupied.any(axis=0), z, np.nan)


def pack_occupancy(occupied: np.ndarray) -> bytes:
    """Bits of a (D, H, W) bool volume, C order, compressed with zstd."""
    if occupied.dtype != bool or occupied.ndim != 3:
        raise ShapeError(f"expected a bool volume (D, H, W), got {occupied.dtype} {occupied.shape}")
    return pa.compress(np.packbits(occupied).tobytes(), codec="zstd", asbytes=True)


def unpack_occupancy(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The (D, H, W) bool volume of :func:`pack_occupancy`.

    Raises:
        ShapeError: the payload does not hold ``shape``.
    """
    size = int(np.prod(shape))
    num_bytes = (size + 7) // 8
    try:
        bits = pa.decompress(payload, decompressed_size=num_bytes, codec="zstd", asbytes=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise ShapeError(f"occupancy payload does not hold a volume of shape {shape}") from error
    if len(bits) != num_bytes:
        raise ShapeError(f"occupancy payload holds {len(bits)} bytes, {shape} needs {num_bytes}")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=size).reshape(shape).view(bool)
