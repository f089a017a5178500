"""Teeth of a synthetic head, which the head model lacks."""

import numpy as np

from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.surfaces import Surface, build_sheet

__all__ = ["build_teeth"]

_NUM_TEETH = 8
_TOOTH = np.array([0.78, 0.74, 0.66])


def build_teeth(head: np.ndarray, model: HeadModel) -> Surface:
    """Returns the upper teeth in the head's frame; closed lips hide them.

    Args:
        head: (N, 3) vertices in the head's frame.
        model: head model.
    """
    points = head[model.landmarks].astype(np.float64)
    upper, corners = points[62], points[[60, 64]]
    half_width = 0.8 * np.abs(np.subtract(*corners)[0]) / 2
    across = np.linspace(-1, 1, 4 * _NUM_TEETH + 1)
    x = upper[0] + half_width * across
    z = upper[2] - 0.07 - 0.9 * (half_width * across) ** 2
    heights = np.array([0.12, 0.0, -0.05, -0.075])
    rows = [np.column_stack([x, np.full_like(x, upper[1] + height), z]) for height in heights]
    gaps = 1 - 0.25 * (np.abs(np.mod(across * _NUM_TEETH / 2 + 0.5, 1) - 0.5) < 0.07)
    shade = gaps * (1 - 0.5 * across**2)
    vertical = np.array([0.6, 0.95, 1.0, 0.9])
    colors = _TOOTH * shade[None, :, None] * vertical[:, None, None]
    return build_sheet(np.stack(rows[::-1]), colors[::-1], 0.1)
