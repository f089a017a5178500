import numpy as np
import pytest

from rayboot.synthesis.teeth import build_teeth
from tests.synthesis.heads import HEADS, MODEL


@pytest.mark.parametrize("head", HEADS)
def test_teeth_are_behind_the_lips_and_between_the_corners_of_the_mouth(head: np.ndarray) -> None:
    teeth, points = build_teeth(head, MODEL).vertices, head[MODEL.landmarks]
    assert teeth[:, 2].max() < points[[51, 57, 62], 2].min()
    assert points[60, 0] < teeth[:, 0].min() < teeth[:, 0].max() < points[64, 0]
