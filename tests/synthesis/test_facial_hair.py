import numpy as np

from rayboot.synthesis.facial_hair import grow_facial_hair
from tests.synthesis.heads import HEADS, MODEL, draw, rng


def hairs(beard: float) -> np.ndarray:
    sample = draw()
    sample = sample._replace(appearance=sample.appearance._replace(beard=beard))
    return grow_facial_hair(HEADS[0], sample, MODEL, rng()).vertices


def test_brows_are_above_the_eyes_on_both_sides() -> None:
    landmarks, vertices = HEADS[0][MODEL.landmarks], hairs(0.0)
    brows = vertices[vertices[:, 1] > landmarks[36:48, 1].max() + 0.03]
    assert len(brows) > 100
    assert abs(brows[:, 1].mean() - landmarks[17:27, 1].mean()) < 0.1
    assert (brows[:, 0] < 0).sum() > 50 < (brows[:, 0] > 0).sum()


def test_only_a_beard_grows_below_the_nose() -> None:
    nose = HEADS[0][MODEL.landmarks[33], 1]
    assert (hairs(0.0)[:, 1] > nose).all()
    assert (hairs(0.8)[:, 1] < nose).sum() > (hairs(0.1)[:, 1] < nose).sum() > 100
