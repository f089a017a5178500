"""Contact sheets: many small images in one."""

from collections.abc import Sequence

import numpy as np

__all__ = ["contact_sheet"]

_BACKGROUND = 255


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 2) -> np.ndarray:
    """Returns images of one size arranged in rows; short rows are filled with white.

    Args:
        rows: rows of (S, S, 3) uint8 images.
        gap: distance between neighbouring images, px.

    Returns:
        (H, W, 3) uint8.
    """
    size = rows[0][0].shape[0]
    width = max(len(row) for row in rows)
    step = size + gap
    sheet = np.full((len(rows) * step - gap, width * step - gap, 3), _BACKGROUND, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet[i * step : i * step + size, j * step : j * step + size] = image
    return sheet
