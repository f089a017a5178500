"""Contact sheets: many small images in one, with labels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet"]

_BACKGROUND = 255
_INK = (60, 60, 60)
_FONT_SIZE = 13
_MAX_LETTERS = 24
"""Number of letters of a row's label that are shown: its end, where file names differ."""


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray | None]],
    gap: int = 2,
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
) -> np.ndarray:
    """Returns images of one size arranged in rows; missing ones stay white.

    Args:
        rows: rows of (S, S, 3) uint8 images; None leaves a place empty.
        gap: distance between neighbouring images, px.
        columns: labels above the columns; by default none.
        names: labels below the first image of each row; by default none.

    Returns:
        (H, W, 3) uint8.
    """
    size = next(image.shape[0] for row in rows for image in row if image is not None)
    width = max(len(row) for row in rows)
    top = _FONT_SIZE + 6 if columns else 0
    below = _FONT_SIZE + 4 if names else 0
    step, row_step = size + gap, size + gap + below
    shape = (top + len(rows) * row_step - gap, width * step - gap, 3)
    sheet = np.full(shape, _BACKGROUND, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            if image is not None:
                y = top + i * row_step
                sheet[y : y + size, j * step : j * step + size] = image
    if not (columns or names):
        return sheet
    picture = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for j, label in enumerate(columns):
        draw.text((j * step + size / 2, 2), label, _INK, font, anchor="ma")
    for i, name in enumerate(names):
        shown = name if len(name) <= _MAX_LETTERS else "..." + name[-_MAX_LETTERS:]
        draw.text((2, top + i * row_step + size + 1), shown, _INK, font)
    return np.asarray(picture)
