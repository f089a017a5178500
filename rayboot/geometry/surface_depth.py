"""A solid as depth maps of its front and its back, which keep the surface between the voxels.

Where the camera sees a face, each column of the volume is occupied in one interval, so two depths
per pixel and the distance to the outline describe the solid. They are stored instead of bits
because a network that learns from bits learns their terraces, and they can be rotated exactly.
"""

from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa

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

_FINE_PER_PIXEL = 2
"""Subdivision of a pixel in which the outline is located."""


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
        that is not positive, the depths mean nothing.
    """
    inside = field > 0
    num_slices = len(field)
    last = num_slices - 1 - inside[::-1].argmax(axis=0)
    first = inside.argmax(axis=0)
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
    nearest = _nearest_occupied(occupied)
    cell = crop_size // peak.shape[1]
    outline = cell * _signed_distance(peak, _FINE_PER_PIXEL * cell)
    return SurfaceDepth(
        front.ravel()[nearest],
        back.ravel()[nearest],
        np.clip(outline, -MAX_OUTLINE_DISTANCE, MAX_OUTLINE_DISTANCE).astype(np.float32),
    )


def _nearest_occupied(occupied: np.ndarray) -> np.ndarray:
    """Returns the flat index (h, w) of the occupied cell next to each cell."""
    _, labels = cv2.distanceTransformWithLabels(
        (~occupied).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Every occupied cell has a label of its own.
    index_of = np.zeros(labels.max() + 1, np.intp)
    index_of[labels[occupied]] = np.flatnonzero(occupied)
    return np.asarray(index_of[labels])


def _signed_distance(values: np.ndarray, fineness: int) -> np.ndarray:
    """Returns the distance (h, w) to the zero line of linearly interpolated values, in cells.

    Args:
        values: (h, w).
        fineness: even number of parts of a cell, along each axis, to which the line is located.
    """
    fine = cv2.resize(values, None, fx=fineness, fy=fineness, interpolation=cv2.INTER_LINEAR)
    inside = np.pad(fine > 0, 1).astype(np.uint8)
    to_outside, to_inside = (
        cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for mask in (inside, 1 - inside)
    )
    # From the centre of a fine cell to the edge between it and the nearest one beyond the line.
    signed = np.where(inside, to_outside - 0.5, 0.5 - to_inside)[1:-1, 1:-1]
    # The centre of a cell lies between its four middle fine cells.
    middle = slice(fineness // 2 - 1, fineness // 2 + 1)
    parts = signed.reshape(len(values), fineness, -1, fineness)[:, middle, :, middle]
    return np.asarray(parts.mean(axis=(1, 3)) / fineness)


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
