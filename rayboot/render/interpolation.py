"""Interpolation of images between their pixels."""

import cv2
import numpy as np

__all__ = ["sample_bilinear"]

_ROW_LENGTH = 1024


def sample_bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Returns the bilinearly interpolated values (N, 3) float32 of an image.

    Args:
        image: (H, W, 3) uint8 or float32; beyond its border the border's values are repeated.
        pixels: (N, 2) columns and rows.
    """
    count = len(pixels)
    if count == 0:
        return np.zeros((0, 3), np.float32)
    # The points are arranged as a grid: in a single column, the 73,000 vertices of a full-size
    # mesh would exceed OpenCV's limit of 32,767 rows.
    grid = np.resize(pixels.astype(np.float32), (-(-count // _ROW_LENGTH), _ROW_LENGTH, 2))
    values = cv2.remap(
        image.astype(np.float32),
        np.ascontiguousarray(grid[..., 0]),
        np.ascontiguousarray(grid[..., 1]),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values.reshape(-1, 3)[:count]
