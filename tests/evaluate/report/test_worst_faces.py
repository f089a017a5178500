import numpy as np

from rayboot.evaluate.datasets.base import ExcludedFace
from rayboot.evaluate.report.worst_faces import Failures, count_failures, pick_worst
from rayboot.evaluate.results import FaceError

NAN = float("nan")


def faces(*values: float, reason: str = "nothing there") -> list[FaceError]:
    return [
        FaceError(f"{i}.jpg", 10.0 * i, value, value, value, "" if np.isfinite(value) else reason)
        for i, value in enumerate(values)
    ]


def test_the_worst_are_those_of_the_last_model_and_the_failed_above_all() -> None:
    errors = {"a": faces(0.9, 0.1, 0.2, 0.3, NAN), "b": faces(0.1, 0.4, NAN, 0.3, NAN)}
    worst = pick_worst(errors, 3)
    assert [face.face_id for face in worst] == ["2.jpg", "1.jpg", "3.jpg"]
    assert worst[0].reason == "nothing there" and np.isnan(worst[0].errors[1])
    assert worst[1].errors == [10, 40] and worst[1].yaw_deg == 10 and worst[1].reason == ""
    # A face that no model has a number for is no model's fault.
    assert len(pick_worst(errors, 20)) == 4


def test_failures_are_counted_by_reason_and_model() -> None:
    errors = {
        "a": faces(0.1, NAN, NAN, 0.1, reason="no photo"),
        "b": faces(0.1, NAN, NAN, NAN, reason="no photo"),
    }
    faults = [
        ExcludedFace("z", "implausible"),
        ExcludedFace("y", "implausible"),
        ExcludedFace("x", "implausible"),
    ]
    assert count_failures(errors, faults) == [
        Failures("implausible", [], ["x", "y", "z"]),
        Failures("no photo", ["a", "b"], ["1.jpg", "2.jpg"]),
        Failures("no photo", ["b"], ["3.jpg"]),
    ]
    assert count_failures({"a": faces(0.1)}, []) == []
