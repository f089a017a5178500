import warnings
from contextlib import suppress

import numpy as np
import pytest

from rayboot.errors import DegenerateInputError
from rayboot.evaluate import nme
from rayboot.evaluate.metrics.misalignment import explain_axes
from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.head_model import load_head_model

MODEL = load_head_model()
TRUTH = 92.0 * MODEL.mean[MODEL.front].astype(float)
PREDICTED = 92.0 * MODEL.vertices(
    np.random.default_rng(0).normal(0, 0.7, len(MODEL.identity)),
    np.zeros(len(MODEL.expression)),
).astype(float)
"""The head of another person, complete, in millimetres."""

AXES = {
    "y down": np.diag([1.0, -1.0, -1.0]),
    "y down, mirrored": np.diag([1.0, -1.0, 1.0]),
    "z away": np.diag([1.0, 1.0, -1.0]),
    "facing away": np.diag([-1.0, 1.0, -1.0]),
}


def test_shapes_that_meet_are_not_explained() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nme(PREDICTED, TRUTH, 92.0) < 0.1
        assert nme(PREDICTED @ rotation_yaw_pitch(0.2, 0.1).T, TRUTH, 92.0) < 0.1


@pytest.mark.parametrize(
    ("factor", "said"),
    [(0.001, "in metres"), (0.1, "in centimetres"), (1000, "the truth is in metres")],
)
def test_another_unit_is_named(factor: float, said: str) -> None:
    # ICP itself may fail, since all points are closest to one.
    with pytest.warns(UserWarning, match=said), suppress(DegenerateInputError):
        nme(factor * PREDICTED, TRUTH, 92.0)


def test_an_interocular_of_another_unit_is_named() -> None:
    with pytest.warns(UserWarning, match="is interocular in the truth's unit"):
        nme(PREDICTED, TRUTH, 0.092)


@pytest.mark.parametrize("name", AXES)
def test_other_axes_are_named(name: str) -> None:
    with pytest.warns(UserWarning, match="with other axes the shapes meet: ") as caught:
        nme(PREDICTED @ AXES[name].T, TRUTH, 92.0)
    said = str(caught[0].message)
    assert "y axis points down" in said or not name.startswith("y down")


ROLLED = PREDICTED @ rotation_in_plane(np.pi / 2).T
FAR = {
    "rolled": rotation_in_plane(np.pi / 2),
    "lying": rotation_yaw_pitch(0.0, np.pi / 2),
    "turned by 60": rotation_yaw_pitch(np.radians(60), 0.0),
    "turned by -80": rotation_yaw_pitch(np.radians(-80), 0.0),
    "turned by 110": rotation_yaw_pitch(np.radians(110), 0.0),
}


@pytest.mark.parametrize("name", FAR)
def test_a_head_that_is_turned_far_is_recovered_or_named(name: str) -> None:
    turned = PREDICTED @ FAR[name].T + [5.0, 3.0, -200.0]
    right = nme(PREDICTED, TRUTH, 92.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = nme(turned, TRUTH, 92.0)
    assert error == pytest.approx(right, abs=2e-3) or "the shapes do not meet" in str(
        caught[0].message
    )
    marks = (turned[MODEL.landmarks], 92.0 * MODEL.mean[MODEL.landmarks].astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nme(turned, TRUTH, 92.0, landmarks=marks) == pytest.approx(right, abs=2e-3)


def test_a_rolled_head_is_named_and_recovered_by_landmarks() -> None:
    with pytest.warns(UserWarning, match="is turned, by roughly"):
        assert nme(ROLLED, TRUTH, 92.0) > 0.05


def test_a_bad_shape_has_no_cause() -> None:
    blob = np.random.default_rng(0).normal(0, 40, (2000, 3))
    assert explain_axes(blob, TRUTH, 92.0, 0.2) == ""
