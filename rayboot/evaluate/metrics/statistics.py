"""Means over faces, with bootstrap confidence intervals."""

from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "mean_interval", "paired_change"]

_NUM_RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over ``num_faces`` faces and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float
    num_faces: int


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Returns the mean of ``values`` (N,) with its 95 % percentile bootstrap interval.

    Without values, mean and bounds are NaN.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (_NUM_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def paired_change(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Interval:
    """Returns the mean of ``after - before`` on the same faces, with its 95 % interval."""
    return mean_interval(np.asarray(after) - np.asarray(before), seed)
