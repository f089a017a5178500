"""Enlargement of maps and volumes by cubic convolution.

PyTorch's own bicubic interpolation uses a kernel that turns slopes into stairs (its parameter is
-0.75); with -0.5 straight and parabolic surfaces are reproduced.

Source:
    Keys, Cubic Convolution Interpolation for Digital Image Processing, IEEE Transactions on
    Acoustics, Speech, and Signal Processing, 1981.
"""

from functools import cache

import numpy as np
import torch

__all__ = ["upsample_cubic"]

_WEIGHTS = np.array([-3, 29, 111, -9]) / 128
"""Weights of the cells at distances 1.75, 0.75, 0.25 and 1.25 from a new cell's centre."""


def upsample_cubic(fields: torch.Tensor) -> torch.Tensor:
    """Returns fields of twice the height and width.

    Cells are areas: two by two new cells fill an old one. Beyond the border its values go on.

    Args:
        fields: (..., H, W) float.

    Returns:
        (..., 2H, 2W) of the same dtype. Next to a step it exceeds the range of the fields.
    """
    height, width = fields.shape[-2:]
    down, across = (
        torch.from_numpy(_matrix(size)).to(fields.device, fields.dtype) for size in (height, width)
    )
    return down @ (fields @ across.T)


@cache
def _matrix(size: int) -> np.ndarray:
    """Returns the matrix (2 size, size) float32 that enlarges one axis."""
    matrix = np.zeros((2 * size, size), np.float32)
    for cell in range(size):
        for new, step in ((2 * cell, 1), (2 * cell + 1, -1)):
            for offset, weight in zip((-2, -1, 0, 1), _WEIGHTS, strict=True):
                matrix[new, np.clip(cell + step * offset, 0, size - 1)] += weight
    return matrix
