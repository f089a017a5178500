"""Occupancy volumes: turning them, what falls outside, and bits for storage.

Volumes are (D, H, W), depth first, frame of :mod:`rayboot.geometry.camera`.
"""

import numpy as np
import pyarrow as pa
from scipy import ndimage, sparse

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import (
    SLICES_PER_PIXEL,
    crop_from_voxel,
    transform_points,
    voxel_from_crop,
)

__all__ = [
    "any_of_cells",
    "cell_steps",
    "clipped_fraction",
    "coarsen",
    "find_small_components",
    "inner_points",
    "keep_largest_component",
    "occupied_box",
    "pack_occupancy",
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
    is_bool = occupancy.dtype == bool
    moved = np.zeros(occupancy.shape, bool if is_bool else np.float32)
    occupied = occupancy if is_bool else occupancy > 0
    if not occupied.any():
        return moved
    # Only where the solid comes from and goes to: about a fifth of a face's volume.
    source = occupied_box(occupied)
    target = _moved_box(source, forward, occupancy.shape)
    inverse = np.linalg.inv(forward[:, :3])
    low_in = np.array([side.start for side in source])
    low_out = np.array([side.start for side in target])
    resampled = _resample(
        occupancy[source].astype(np.float32),
        inverse,
        inverse @ (low_out - forward[:, 3]) - low_in,
        moved[target].shape,
    )
    moved[target] = resampled >= 0.5 if is_bool else resampled
    return moved


def _resample(
    values: np.ndarray, inverse: np.ndarray, offset: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """``values`` at ``inverse @ index + offset`` for every index of ``shape``, trilinearly."""
    if np.abs(inverse[[1, 0, 1, 2], [0, 1, 2, 1]]).max() < 1e-12:
        return _resample_rows(values, inverse, offset, shape)
    return ndimage.affine_transform(
        np.pad(values, 1), inverse, offset=offset + 1, output_shape=shape, order=1, cval=0.0
    )


def _resample_rows(
    values: np.ndarray, inverse: np.ndarray, offset: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """The same for a turn about the vertical, which leaves rows rows: four times as fast.

    All rows then share one resampling of the horizontal plane, and all columns one
    of the vertical: two products with sparse matrices.
    """
    slices, rows, columns = values.shape
    vertical = np.arange(shape[1]) * inverse[1, 1] + offset[1]
    grid = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[2]), indexing="ij"), axis=-1)
    plane = grid.reshape(-1, 2) @ inverse[np.ix_([0, 2], [0, 2])].T + offset[[0, 2]]
    turned = _linear_weights(plane, (slices, columns)) @ np.ascontiguousarray(
        values.transpose(0, 2, 1)
    ).reshape(slices * columns, rows)
    placed = _linear_weights(vertical[:, None], (rows,)) @ np.ascontiguousarray(turned.T)
    return placed.reshape(shape[1], shape[0], shape[2]).transpose(1, 0, 2)


def _linear_weights(points: np.ndarray, shape: tuple[int, ...]) -> sparse.csr_array:
    """Weights (P, prod(shape)) of multilinear interpolation at ``points`` (P, K); 0 outside."""
    below = np.floor(points).astype(int)
    fraction = points - below
    index, weight, inside = [], [], []
    for corner in np.ndindex(*[2] * len(shape)):
        at = below + corner
        index.append(np.ravel_multi_index(at.T, shape, mode="clip"))
        weight.append(np.where(corner, fraction, 1 - fraction).prod(axis=1))
        inside.append(((at >= 0) & (at < shape)).all(axis=1))
    point = np.broadcast_to(np.arange(len(points)), (len(index), len(points)))
    kept = np.stack(inside)
    return sparse.csr_array(
        (np.stack(weight)[kept].astype(np.float32), (point[kept], np.stack(index)[kept])),
        shape=(len(points), int(np.prod(shape))),
    )


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


def cell_steps(cell: int) -> tuple[int, int, int]:
    """Slices, rows and columns of a cube of ``cell`` px; single voxels for 0."""
    return (SLICES_PER_PIXEL * cell, cell, cell) if cell else (1, 1, 1)


def coarsen(occupancy: np.ndarray, cell: int) -> np.ndarray:
    """Mean occupancy of cubes of ``cell`` px; the volume itself for 0.

    Args:
        occupancy: (D, H, W) float in [0, 1].
        cell: edge of a cube, px.

    Returns:
        (D', H', W') float32; the last cubes are filled up with nothing.
    """
    if not cell:
        return occupancy
    summed: np.ndarray = occupancy.astype(np.float32, copy=False)
    for axis, step in enumerate(cell_steps(cell)):
        summed = _fold(np.add, summed, axis, step)
    return summed / np.float32(np.prod(cell_steps(cell)))


def any_of_cells(mask: np.ndarray, cell: int) -> np.ndarray:
    """Which cubes of ``cell`` px hold a True of ``mask`` (D, H, W) bool."""
    for axis, step in enumerate(cell_steps(cell)):
        mask = _fold(np.logical_or, mask, axis, step)
    return mask


def _fold(combine: np.ufunc, values: np.ndarray, axis: int, step: int) -> np.ndarray:
    """Every ``step`` neighbours along an axis as one; ``reduceat`` takes ten times as long."""
    moved = np.moveaxis(values, axis, 0)
    folded = moved[::step].copy()
    for offset in range(1, step):
        part = moved[offset::step]
        combine(folded[: len(part)], part, out=folded[: len(part)])
    return np.moveaxis(folded, 0, axis)


def clipped_fraction(
    points: np.ndarray, transform: np.ndarray, shape: tuple[int, int, int]
) -> float:
    """Share of ``points`` that ``transform`` carries out of the volume.

    Args:
        points: (N, 3) inside the solid, px (:func:`inner_points`).
        transform: (3, 4) affine of the frame.
        shape: (D, H, W) of the volume.
    """
    if len(points) == 0:
        return 0.0
    depth, height, width = shape
    half = np.array([width, height, depth / SLICES_PER_PIXEL]) / 2
    return float((np.abs(transform_points(transform, points)) > half).any(axis=1).mean())


def inner_points(occupied: np.ndarray, stride: int) -> np.ndarray:
    """Centres (N, 3) of every ``stride``-th occupied voxel along each axis, px."""
    first = stride // 2
    part = occupied[first::stride, first::stride, first::stride]
    return transform_points(crop_from_voxel(occupied.shape), np.argwhere(part) * stride + first)


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
    small_components = find_small_components(occupancy >= isovalue)
    if small_components is None:
        return occupancy
    return np.where(small_components, np.float32(0), occupancy).astype(np.float32)


def find_small_components(occupied: np.ndarray) -> np.ndarray | None:
    """Every component but the largest, grown by a voxel where the largest's rim is not.

    The soft rim of a speck must not draw a surface either.

    Args:
        occupied: (D, H, W) bool.

    Returns:
        (D, H, W) bool; None where there is one component.
    """
    box = occupied_box(occupied)
    labels, count = ndimage.label(occupied[box])
    if count == 1:
        return None
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    small_components = np.zeros(occupied.shape, bool)
    small_components[box] = (labels > 0) & ~largest
    whole = np.zeros(occupied.shape, bool)
    whole[box] = largest
    return _grown(small_components) & ~_grown(whole)


def _grown(mask: np.ndarray) -> np.ndarray:
    """``mask`` and its six neighbours; SciPy's dilation takes ten times as long."""
    grown = mask.copy()
    for axis in range(3):
        here, there = np.moveaxis(grown, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return grown


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
