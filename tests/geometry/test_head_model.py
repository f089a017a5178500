"""The head model's landmarks follow iBUG's markup."""

import numpy as np
import pytest

from rayboot.geometry.head_model import load_head_model

LANDMARKS = load_head_model().mean[load_head_model().landmarks].astype(float)
CONTOURS = {
    "jaw": [*range(17)],
    "brow": [*range(17, 22)],
    "bridge": [*range(27, 31)],
    "nostrils": [*range(31, 36)],
    "eye": [*range(36, 42), 36],
    "outer lips": [*range(48, 60), 48],
    "inner lips": [*range(60, 68), 60],
}


@pytest.mark.parametrize("name", CONTOURS)
def test_contours_have_no_long_steps(name: str) -> None:
    contour = LANDMARKS[CONTOURS[name]]
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    # A step to a landmark of another facial feature is far longer than those within one.
    assert steps.max() < 4 * np.median(steps)


def test_left_and_right_mirror_each_other() -> None:
    pairs = [(index, 16 - index) for index in range(8)]
    pairs += [(17 + k, 26 - k) for k in range(5)] + [(31, 35), (32, 34)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    pairs += [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)]
    left, right = LANDMARKS[[a for a, _ in pairs]], LANDMARKS[[b for _, b in pairs]]
    assert np.abs(left * (-1, 1, 1) - right).max() < 0.03


def test_lips_are_below_the_nose_and_in_order() -> None:
    lips = LANDMARKS[48:68]
    assert (lips[:, 1] < LANDMARKS[33, 1]).all() and (lips[:, 1] > LANDMARKS[8, 1]).all()
    assert (LANDMARKS[55:60, 1] < LANDMARKS[[53, 52, 51, 50, 49], 1]).all()
