"""Contact sheets: many small images on one."""

from collections.abc import Sequence

import numpy as np

__all__ = ["contact_sheet"]

_PAPER = 255


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 2) -> np.ndarray:
    """Images of one size in rows; short rows end in white.

    Args:
        rows: of (S, S, 3) uint8 images.
        gap: between neighbours, px.

    Returns:
        (H, W, 3) uint8.
    """
    size = rows[0][0].shape[0]
    width = max(len(row) for row in rows)
    step = size + gap
    sheet = np.full((len(rows) * step - gap, width * step - gap, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet[i * step : i * step + size, j * step : j * step + size] = image
    return sheet
