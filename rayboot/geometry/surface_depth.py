"""A solid as depth maps of its front and its back, which keep the surface between the voxels.

Where the camera sees a face, each column of the volume is occupied in one interval, so two depths
per pixel and the distance to the outline describe the solid. They are stored instead of bits
because a network that learns from bits learns their terraces, and they can be rotated exactly.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy import ndimage

from rayboot.errors import DegenerateInputError, ShapeError
from rayboot.geometry.camera import SLICES_PER_PIXEL

__all__ = [
    "MAX_OUTLINE_DISTANCE",
    "SurfaceDepth",
    "complete_surface_depth",
    "measure_columns",
    "pack_surface_depth",
    "unpack_surface_depth",
]

MAX_OUTLINE_DISTANCE = 4.0
"""Distances to the outline are clipped to this value, px; only those near the surface matter."""

_STEPS_PER_PIXEL = 64
"""Stored depths are whole multiples of 1/64 px."""

_FINE = 4
"""Subdivision of a cell in which the outline is located."""


class SurfaceDepth(NamedTuple):
    """Front and back of a solid, in the frame of the crop, px.

    A map has h x w cells, which divide the crop evenly; rows grow downward as in the image.

    Attributes:
        front: (h, w) float32, z of the front; beyond the outline that of the nearest cell inside.
        back: (h, w) float32, z of the back, likewise.
        outline: (h, w) float32, distance to the outline, positive inside, clipped to
            ``MAX_OUTLINE_DISTANCE``.
    """

    front: np.ndarray
    back: np.ndarray
    outline: np.ndarray


def measure_columns(field: np.ndarray) -> np.ndarray:
    """Locates front and back of each column where a field crosses zero, between two slices.

    Args:
        field: (D, h, w) float, positive inside the solid, such as logits.

    Returns:
        (3, h, w) float32: front and back, z in px, and the largest value of the column. Where
        that is not positive, the depths are those of the slice with the largest value.
    """
    inside = field > 0
    num_slices = len(field)
    peak = field.argmax(axis=0)
    occupied = inside.any(axis=0)
    last = np.where(occupied, num_slices - 1 - inside[::-1].argmax(axis=0), peak)
    first = np.where(occupied, inside.argmax(axis=0), peak)
    above = _crossing(field, last, np.minimum(last + 1, num_slices - 1))
    below = _crossing(field, first, np.maximum(first - 1, 0))
    middle = (num_slices - 1) / 2
    front = (last + above - middle) / SLICES_PER_PIXEL
    back = (first - below - middle) / SLICES_PER_PIXEL
    return np.stack([front, back, field.max(axis=0)]).astype(np.float32)


def _crossing(field: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Returns where between two slices the field is zero, as a fraction from ``inner``.

    At the border of the volume, and in columns without a crossing, it is half a slice.
    """
    inside, outside = (
        np.take_along_axis(field, index[None], axis=0)[0] for index in (inner, outer)
    )
    crosses = (inside > 0) & (outside <= 0)
    step = np.where(crosses, inside - outside, 1.0)
    return np.where(crosses, inside / step, 0.5)


def complete_surface_depth(columns: np.ndarray, crop_size: int) -> SurfaceDepth:
    """Returns the depth maps of measured columns: with their outline, and continued beyond it.

    Args:
        columns: (3, h, w) as :func:`measure_columns` returns them.
        crop_size: width of the crop, px.

    Raises:
        DegenerateInputError: no column is occupied.
    """
    front, back, peak = columns
    occupied = peak > 0
    if not occupied.any():
        raise DegenerateInputError("the solid is empty: no column of its volume is occupied")
    nearest = ndimage.distance_transform_edt(~occupied, return_distances=False, return_indices=True)
    outline = _signed_distance(peak) * (crop_size / peak.shape[1])
    return SurfaceDepth(
        front[tuple(nearest)],
        back[tuple(nearest)],
        np.clip(outline, -MAX_OUTLINE_DISTANCE, MAX_OUTLINE_DISTANCE).astype(np.float32),
    )


def _signed_distance(values: np.ndarray) -> np.ndarray:
    """Returns the distance (h, w) to the zero line of linearly interpolated values, in cells."""
    fine = ndimage.zoom(values, _FINE, order=1, mode="nearest", grid_mode=True)
    inside = np.pad(fine > 0, 1)
    # From the centre of a fine cell to the edge between it and the nearest one beyond the line.
    signed = np.where(
        inside,
        ndimage.distance_transform_edt(inside) - 0.5,
        0.5 - ndimage.distance_transform_edt(~inside),
    )[1:-1, 1:-1]
    # The centre of a cell lies between its four middle fine cells.
    middle = signed.reshape(len(values), _FINE, -1, _FINE)[:, _FINE // 2 - 1 : _FINE // 2 + 1]
    middle = middle[..., _FINE // 2 - 1 : _FINE // 2 + 1]
    return np.asarray(middle.mean(axis=(1, 3)) / _FINE)


def pack_surface_depth(depth: SurfaceDepth) -> bytes:
    """Returns depth maps as the bytes that data sets store: differences along rows, zstd."""
    steps = np.rint(np.stack(depth) * _STEPS_PER_PIXEL).astype(np.int16)
    differences = np.diff(steps, axis=2, prepend=np.int16(0))
    compressed: bytes = pa.compress(differences.astype("<i2"), codec="zstd", asbytes=True)
    return compressed


def unpack_surface_depth(payload: bytes, crop_size: int) -> np.ndarray:
    """Returns stored depth maps (3, h, w) float32: front, back and outline, px.

    Args:
        payload: return value of :func:`pack_surface_depth`.
        crop_size: width of the crop, px; a map has as many cells, or half as many.

    Raises:
        ShapeError: the payload does not contain such maps.
    """
    for size in (crop_size, crop_size // 2):
        try:
            stored = pa.decompress(payload, 6 * size**2, codec="zstd", asbytes=True)
        except (pa.ArrowInvalid, OSError):
            continue
        if len(stored) == 6 * size**2:
            differences = np.frombuffer(stored, "<i2").reshape(3, size, size)
            steps = np.cumsum(differences, axis=2, dtype=np.int16)
            return steps.astype(np.float32) / _STEPS_PER_PIXEL
    raise ShapeError(
        f"expected zstd-compressed depth maps (3, {crop_size}, {crop_size}) int16, or of half "
        f"that size, got {len(payload)} bytes that do not decompress to it"
    )
