"""Ratio of the light on one side of a face to that on the other.

A hidden cheek that is filled with its mirror image's colours shows the right
features in the wrong light: the dark side of the face would have a lit patch with
a hard edge. Light varies smoothly and features do not, so the median of the colour
ratios over a neighbourhood separates them.
"""

import numpy as np

from rayboot.render.inpaint import nearest_known
from rayboot.render.interpolation import sample_bilinear

__all__ = ["estimate_light_ratios"]

_GRID_SIZE = 24
"""Number of rows and columns of the grid on which the ratios are estimated."""

_MEDIAN_RADIUS = 2
"""Number of cells to each side that enter the median; features are smaller than that."""

_MAX_LOG_RATIO = 0.8
"""Largest absolute value of the logarithm of a ratio."""

_OFFSET = 10.0
"""Offset added to both colours, which prevents a division by black."""


def estimate_light_ratios(
    texture: np.ndarray, pixels: np.ndarray, mirrored: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Returns the factors (M, 3) float32 from the light of mirror images to that of the queries.

    Args:
        texture: (S, S, 3) uint8.
        pixels: (N, 2) column and row of visible points.
        mirrored: (N, 2) column and row of their mirror images, visible as well.
        queries: (M, 2) column and row; each gets the nearest estimate.
    """
    size = texture.shape[0]
    log_ratio = np.log(
        (sample_bilinear(texture, pixels) + _OFFSET)
        / (sample_bilinear(texture, mirrored) + _OFFSET)
    )
    column, row = np.clip(pixels * _GRID_SIZE / size, 0, _GRID_SIZE - 1).astype(int).T
    grid = _filter_medians(*_mean_per_cell(log_ratio, row, column))
    cells = (queries + 0.5) * _GRID_SIZE / size - 0.5
    grid = np.clip(grid, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return np.asarray(np.exp(sample_bilinear(grid, cells)))


def _mean_per_cell(
    values: np.ndarray, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Averages values by the grid cell that contains them.

    Args:
        values: (N, 3).
        row: (N,) row of each value's cell.
        column: (N,) column of each value's cell.

    Returns:
        The means (G, G, 3), NaN in empty cells, and which cells (G, G) are not empty.
    """
    index, count = row * _GRID_SIZE + column, _GRID_SIZE**2
    weight = np.bincount(index, minlength=count)
    summed = np.stack([np.bincount(index, values[:, k], count) for k in range(3)], axis=-1)
    known = weight > 0
    means = np.full((count, 3), np.nan, np.float32)
    means[known] = summed[known] / weight[known, None]
    return means.reshape(_GRID_SIZE, _GRID_SIZE, 3), known.reshape(_GRID_SIZE, _GRID_SIZE)


def _filter_medians(means: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns the median of each known cell and its neighbours; others copy the nearest one."""
    medians = np.zeros(means.shape, np.float32)
    if not known.any():
        return medians
    padding = [(_MEDIAN_RADIUS, _MEDIAN_RADIUS), (_MEDIAN_RADIUS, _MEDIAN_RADIUS), (0, 0)]
    padded = np.pad(means, padding, constant_values=np.nan)
    window = (2 * _MEDIAN_RADIUS + 1, 2 * _MEDIAN_RADIUS + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(0, 1))
    medians[known] = np.nanmedian(windows[known], axis=(-2, -1))
    return np.asarray(medians[nearest_known(known)])
