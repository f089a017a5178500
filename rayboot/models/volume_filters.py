"""Fixed linear filters of maps and volumes: enlargement by cubic convolution, averaging in depth.

PyTorch's own bicubic interpolation uses a kernel that turns slopes into stairs (its parameter is
-0.75); with -0.5 straight and parabolic surfaces are reproduced.

Source:
    Keys, Cubic Convolution Interpolation for Digital Image Processing, IEEE Transactions on
    Acoustics, Speech, and Signal Processing, 1981.
"""

from functools import cache

import numpy as np
import torch

__all__ = ["smooth_depth", "upsample_cubic"]

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
    # A depth in half precision is wrong by a tenth of a pixel.
    with torch.autocast(fields.device.type, enabled=False):
        across = fields @ _upsampling(width, fields.device, fields.dtype).T
        return _upsampling(height, fields.device, fields.dtype) @ across


def smooth_depth(volumes: torch.Tensor, sigma: float) -> torch.Tensor:
    """Returns volumes that are averaged along the depth axis with the weights of a Gaussian.

    Args:
        volumes: (B, D, h, w) float.
        sigma: standard deviation, slices.

    Returns:
        (B, D, h, w) of the same dtype.
    """
    weights = _gaussian(volumes.shape[1], sigma, volumes.device, volumes.dtype)
    with torch.autocast(volumes.device.type, enabled=False):
        return (weights @ volumes.flatten(2)).reshape(volumes.shape)


# Kept on the device, because each copy to it would wait for its work.
@cache
def _upsampling(size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns the matrix (2 size, size) that enlarges one axis."""
    matrix = np.zeros((2 * size, size))
    for cell in range(size):
        for new, step in ((2 * cell, 1), (2 * cell + 1, -1)):
            for offset, weight in zip((-2, -1, 0, 1), _WEIGHTS, strict=True):
                matrix[new, np.clip(cell + step * offset, 0, size - 1)] += weight
    return _constant(matrix, device, dtype)


@cache
def _gaussian(size: int, sigma: float, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns the weights (size, size) of a Gaussian; rows sum to 1."""
    order = np.arange(size)
    weights = np.exp(-0.5 * np.square((order - order[:, None]) / sigma))
    return _constant(weights / weights.sum(axis=1, keepdims=True), device, dtype)


def _constant(matrix: np.ndarray, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    # A tensor that inference mode creates could not be used in training later.
    with torch.inference_mode(False):
        return torch.from_numpy(matrix).to(device, dtype)
