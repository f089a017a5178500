import numpy as np

from rayboot.synthesis.clothes import build_shoulders
from tests.synthesis.heads import HEADS, MODEL, draw


def test_clothes_are_below_the_chin_and_differ_in_cut() -> None:
    sample, chin = draw(), HEADS[0][MODEL.landmarks[8], 1]
    looks = [
        build_shoulders(sample, np.random.default_rng(0), np.random.default_rng(seed))
        for seed in range(8)
    ]
    assert all(look.vertices[:, 1].max() < chin + 0.1 for look in looks)
    assert all(look.colors.min() >= 0 and look.colors.max() <= 1 for look in looks)
    assert len({look.colors.tobytes() for look in looks}) == 8
