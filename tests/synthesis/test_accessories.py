import numpy as np
import pytest

from rayboot.synthesis.accessories import (
    draw_glasses,
    draw_headwear,
    draw_held_object,
    draw_sunglasses,
)


@pytest.mark.parametrize(
    ("draw", "fraction"),
    [
        (draw_glasses, 0.2),
        (draw_sunglasses, 0.04),
        (draw_headwear, 0.12),
        (draw_held_object, 0.1),
    ],
)
def test_a_moderate_fraction_of_photos_shows_each_kind(draw: object, fraction: float) -> None:
    assert callable(draw)
    found = [draw(np.random.default_rng(seed)) is not None for seed in range(1500)]
    assert np.mean(found) == pytest.approx(fraction, abs=0.03)


def test_sunglasses_are_darker_than_glasses() -> None:
    generators = [np.random.default_rng(seed) for seed in range(300)]
    dark = [drawn.opacity for rng in generators if (drawn := draw_sunglasses(rng))]
    clear = [drawn.opacity for rng in generators if (drawn := draw_glasses(rng))]
    assert min(dark) > max(clear)
