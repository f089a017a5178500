import numpy as np

from rayboot.synthesis.eyes import build_catchlights, build_irises
from tests.synthesis.heads import HEADS, MODEL, draw


def irises(gaze: list[float]) -> np.ndarray:
    return build_irises(HEADS[0], draw(gaze=np.array(gaze)), MODEL).vertices


def test_irises_are_on_the_eyes_and_follow_the_gaze() -> None:
    straight, right, up = irises([0.0, 0.0]), irises([0.4, 0.0]), irises([0.0, 0.3])
    eyes = HEADS[0][MODEL.masks["eyes"] > 0.5]
    assert straight[:, 2].max() < eyes[:, 2].max() + 0.02
    assert right[:, 0].mean() > straight[:, 0].mean() + 0.03
    assert up[:, 1].mean() > straight[:, 1].mean() + 0.03
    # One on each side, as far apart as the eyes.
    left, other = straight.reshape(2, -1, 3).mean(axis=1)
    corners = HEADS[0][MODEL.landmarks[[36, 39, 42, 45]], 0]
    assert corners[0] < left[0] < corners[1] < corners[2] < other[0] < corners[3]


def test_catchlights_are_of_lights_before_the_face() -> None:
    sample = draw(gaze=np.zeros(2), rotation=np.eye(3))
    first = sample.lighting.lights[0]
    for direction, is_seen in (([0.6, 0.0, 0.8], True), ([0.6, 0.0, -0.8], False)):
        light = first._replace(direction=np.array(direction))
        lighting = sample.lighting._replace(lights=(light,))
        found = build_catchlights(HEADS[0], sample._replace(lighting=lighting), MODEL)
        assert (found is not None) == is_seen
