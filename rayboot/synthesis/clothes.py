"""Clothes of a synthetic person: shoulders below the neck."""

import numpy as np

from rayboot.synthesis.sampling import FaceSample
from rayboot.synthesis.surfaces import Surface, build_sheet

__all__ = ["build_shoulders"]

_NUM_AROUND, _NUM_UP = 73, 21
_OPEN_FRACTION = 0.55
"""Fraction of the clothes that are open in front, over a shirt or the skin."""


def build_shoulders(
    sample: FaceSample, rng: np.random.Generator, details: np.random.Generator
) -> Surface:
    """Returns a clothed torso below the neck, in the head's frame.

    Args:
        sample: colours of cloth and skin.
        rng: random generator of the cloth's brightness and folds.
        details: random generator of its cut and pattern.
    """
    around = np.linspace(-1.5 * np.pi, 0.5 * np.pi, _NUM_AROUND)
    up = np.linspace(1, 0, _NUM_UP)[:, None]
    radius = np.sin(np.pi / 2 * np.clip(up * 1.02, 0, 1))
    points = np.stack(
        [
            2.1 * radius * np.cos(around),
            -1.25 - 1.7 * (1 - np.cos(np.pi / 2 * up)) + 0 * around,
            -0.8 + 0.9 * radius * np.sin(around),
        ],
        axis=-1,
    )
    shade = rng.uniform(0.5, 0.9) + 0.25 * np.sin(points @ rng.normal(0, 3, 3))
    cloth = sample.appearance.cloth
    # Most clothes are grey, dark or pale.
    muted = cloth.mean() + details.uniform(0.1, 1.0) ** 1.5 * (cloth - cloth.mean())
    stripes = details.choice([0.0, details.uniform(0.05, 0.22)], p=[0.7, 0.3])
    waves = details.choice([9.0, 18.0, 27.0]) * details.uniform(0, 1, 3)
    pattern = 1 + stripes * np.sign(np.sin(points @ waves))
    weave = 1 + 0.05 * details.normal(0, 1, points.shape[:2])
    colors = muted * (shade * pattern * weave)[..., None]
    shirt = details.choice([details.uniform(0.6, 0.9), details.uniform(0.02, 0.4)]) * np.ones(3)
    opening = sample.appearance.skin if details.random() < 0.35 else shirt
    width = details.uniform(0.25, 0.7)
    depth = details.uniform(0.35, 1.6)
    if details.random() < _OPEN_FRACTION:
        below = -1.25 - points[..., 1]
        is_open = np.abs(points[..., 0]) < width * (1 - below / depth)
        is_open &= points[..., 2] > -0.8
        collar = np.abs(points[..., 0]) < width * (1.25 - below / depth)
        colors = np.where(collar[..., None], 0.8 * colors, colors)
        colors = np.where(is_open[..., None], opening * shade[..., None].clip(0.7, 1.0), colors)
    return build_sheet(points, np.clip(colors, 0, 1))
