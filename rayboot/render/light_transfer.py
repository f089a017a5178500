"""How much brighter one side of a face is than the other.

A hidden cheek that takes its mirror image's colours has the right features and the
wrong light: a lit patch with a hard edge would stand on the dark side of the face.
Light is smooth, features are not: a median over a neighbourhood tells them apart.
"""

import numpy as np

from rayboot.render.inpaint import nearest_known
from rayboot.render.interpolation import sample_photo

__all__ = ["light_factors"]

_CELLS = 24
"""Rows and columns of the grid that the light is known on."""

_REACH = 2
"""Cells to each side whose median is taken: features are smaller than that."""

_LIMIT = 0.8
"""Of the logarithm of a factor."""

_OFFSET = 10.0
"""Added to both colours, so that black does not divide."""


def light_factors(
    texture: np.ndarray, here: np.ndarray, there: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Factors (M, 3) float32 from the light of mirror images to that of ``wanted`` places.

    Args:
        texture: (S, S, 3) uint8.
        here: (N, 2) column and row of points that were seen.
        there: (N, 2) of their mirror images, seen as well.
        wanted: (M, 2) column and row; each takes what is known nearest to it.
    """
    size = texture.shape[0]
    ratio = np.log(
        (sample_photo(texture, here) + _OFFSET) / (sample_photo(texture, there) + _OFFSET)
    )
    column, row = np.clip(here * _CELLS / size, 0, _CELLS - 1).astype(int).T
    field = _medians(*_means_of_cells(ratio, row, column))
    cells = (wanted + 0.5) * _CELLS / size - 0.5
    return np.exp(sample_photo(np.clip(field, -_LIMIT, _LIMIT), cells))


def _means_of_cells(
    values: np.ndarray, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means (C, C, 3) of values (N, 3), NaN where a cell has none, and which (C, C) have any."""
    index, count = row * _CELLS + column, _CELLS**2
    weight = np.bincount(index, minlength=count)
    summed = np.stack([np.bincount(index, values[:, k], count) for k in range(3)], axis=-1)
    known = weight > 0
    means = np.full((count, 3), np.nan, np.float32)
    means[known] = summed[known] / weight[known, None]
    return means.reshape(_CELLS, _CELLS, 3), known.reshape(_CELLS, _CELLS)


def _medians(means: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each known cell's median with its neighbours, and that of the nearest in the others."""
    medians = np.zeros(means.shape, np.float32)
    if not known.any():
        return medians
    around = [(_REACH, _REACH), (_REACH, _REACH), (0, 0)]
    padded = np.pad(means, around, constant_values=np.nan)
    window = (2 * _REACH + 1, 2 * _REACH + 1)
    near = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(0, 1))
    medians[known] = np.nanmedian(near[known], axis=(-2, -1))
    return medians[nearest_known(known)]
