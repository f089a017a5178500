"""Reading a picture between its pixels."""

import cv2
import numpy as np

__all__ = ["sample_photo"]

_LINE = 1024


def sample_photo(photo: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The picture's values (N, 3) float32 at (N, 2) columns and rows, bilinearly.

    Args:
        photo: (H, W, 3) uint8 or float32; beyond it the border's values go on.
        pixels: (N, 2).
    """
    count = len(pixels)
    if count == 0:
        return np.zeros((0, 3), np.float32)
    # In lines of a picture: OpenCV takes no more than 32,767 rows, a full-size mesh has 73,000.
    lines = np.resize(pixels.astype(np.float32), (-(-count // _LINE), _LINE, 2))
    colors = cv2.remap(
        photo.astype(np.float32),
        np.ascontiguousarray(lines[..., 0]),
        np.ascontiguousarray(lines[..., 1]),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return colors.reshape(-1, 3)[:count]
