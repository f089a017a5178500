"""Fixed subsets of an ordered collection."""

import numpy as np

__all__ = ["evenly_spaced"]


def evenly_spaced(total: int, count: int) -> np.ndarray:
    """Indices of ``count`` items spread evenly over ``total`` items, first and last included.

    Args:
        total: Number of items.
        count: Number of indices; all items are returned where there are fewer.

    Returns:
        (min(count, total),) int64, ascending, without repetition.
    """
    spread = np.linspace(0, total - 1, min(count, total))
    return np.unique(spread.round().astype(np.int64))
