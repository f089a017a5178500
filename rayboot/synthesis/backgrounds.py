"""Backgrounds of synthetic photos: cut from a folder of photographs, or drawn."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from rayboot.errors import RequestError

__all__ = ["Backgrounds", "draw_background", "load_backgrounds"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

_WIDTH = 640
"""Width, px, to which photographs are reduced: crops of them are blurred anyway, and every process
holds all of them."""

_PHOTO_SHARE = 0.8
"""Fraction of the backgrounds that are cut from photographs where there are any."""

_MIN_CONTRAST = 4.0
"""Standard deviation of grey values below which a picture is plain, and not used."""


class Backgrounds(NamedTuple):
    """Photographs without people.

    Attributes:
        photos: photographs (H, W, 3) uint8 RGB.
    """

    photos: tuple[np.ndarray, ...]


@cache
def load_backgrounds(folder: str) -> Backgrounds:
    """Reads all photographs below a folder, in the order of their paths; once per process.

    Links are not followed, because wallpaper packages contain links to their own files.

    Raises:
        RequestError: there is no photograph below the folder.
    """
    paths = sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.is_symlink()
    )
    photos = [photo for path in paths if (photo := _read(path)) is not None]
    if not photos:
        raise RequestError(
            f"{folder}: expected a folder of photographs to cut backgrounds from "
            f"({', '.join(sorted(_SUFFIXES))}), but none could be read there"
        )
    return Backgrounds(tuple(photos))


def _read(path: Path) -> np.ndarray | None:
    """Returns a reduced photograph, or None if it is unreadable, small or plain."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None or pixels.shape[1] < _WIDTH or pixels.std() < _MIN_CONTRAST:
        return None
    height = round(pixels.shape[0] * _WIDTH / pixels.shape[1])
    return np.asarray(cv2.resize(pixels, (_WIDTH, height), interpolation=cv2.INTER_AREA))


def draw_background(
    rng: np.random.Generator, size: int, backgrounds: Backgrounds | None = None
) -> np.ndarray:
    """Draws a background (size, size, 3) uint8 RGB.

    Args:
        rng: random generator.
        size: width and height, px.
        backgrounds: photographs to cut most backgrounds from; None draws patterns only.
    """
    if backgrounds is None or rng.random() >= _PHOTO_SHARE:
        return _draw_pattern(rng, size)
    return _cut_from_photo(rng, size, backgrounds.photos[rng.integers(len(backgrounds.photos))])


def _cut_from_photo(rng: np.random.Generator, size: int, photo: np.ndarray) -> np.ndarray:
    """Cuts a random square, blurs it, and changes brightness and saturation."""
    side = int(min(photo.shape[:2]) * rng.uniform(0.3, 1.0))
    top, left = (rng.integers(length - side + 1) for length in photo.shape[:2])
    square = photo[top : top + side, left : left + side]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    resized = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.GaussianBlur(resized, (0, 0), rng.uniform(0.3, 3.5))
    grey = blurred.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.25 else rng.uniform(0.4, 1.1)
    changed = rng.uniform(0.6, 1.3) * (grey + saturation * (blurred - grey))
    return np.asarray(np.clip(changed, 0, 255), np.uint8)


def _draw_pattern(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws noise at several scales on a plain colour, blurred, some with stripes."""
    image: np.ndarray = np.zeros((size, size, 3), np.float32)
    for cells in (2, 4, 9, 24):
        layer = rng.random((cells, cells, 3)).astype(np.float32) - 0.5
        # Colours are muted, as indoors and in streets.
        grey = layer.mean(axis=2, keepdims=True)
        layer = 1.6 * grey + rng.uniform(0, 0.6) * (layer - grey)
        weight = rng.uniform(0, 1.2) / np.sqrt(cells)
        image += weight * cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.35:
        bars = np.sign(np.sin(np.linspace(0, rng.uniform(8, 40), size) + rng.uniform(0, 6)))
        pattern = bars[None, :, None] if rng.random() < 0.6 else bars[:, None, None]
        image += rng.uniform(0.03, 0.2) * pattern.astype(np.float32)
    image += (rng.uniform(0.15, 0.85) + rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 4.0))
    return np.clip(255 * image, 0, 255).astype(np.uint8)
