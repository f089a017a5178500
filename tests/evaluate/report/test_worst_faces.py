import numpy as np

from rayboot.evaluate.datasets.base import ExcludedFace
from rayboot.evaluate.report.worst_faces import FailureGroup, group_failures, pick_worst_faces
from rayboot.evaluate.results import FaceError

NAN = float("nan")


def faces(*values: float, reason: str = "nothing there") -> list[FaceError]:
    return [
        FaceError(f"{i}.jpg", 10.0 * i, value, value, value, "" if np.isfinite(value) else reason)
        for i, value in enumerate(values)
    ]


def test_worst_faces_are_those_of_the_last_model_with_failures_first() -> None:
    errors = {"a": faces(0.9, 0.1, 0.2, 0.3, NAN), "b": faces(0.1, 0.4, NAN, 0.3, NAN)}
    worst = pick_worst_faces(errors, 3)
    assert [face.face_id for face in worst] == ["2.jpg", "1.jpg", "3.jpg"]
    assert worst[0].reason == "nothing there" and np.isnan(worst[0].errors[1])
    assert worst[1].errors == [10, 40] and worst[1].yaw_deg == 10 and worst[1].reason == ""
    # A face without an error of any model is not among the worst.
    assert len(pick_worst_faces(errors, 20)) == 4


def test_failures_are_grouped_by_reason_and_model() -> None:
    errors = {
        "a": faces(0.1, NAN, NAN, 0.1, reason="no photo"),
        "b": faces(0.1, NAN, NAN, NAN, reason="no photo"),
    }
    excluded = [
        ExcludedFace("z", "implausible"),
        ExcludedFace("y", "implausible"),
        ExcludedFace("x", "implausible"),
    ]
    assert group_failures(errors, excluded) == [
        FailureGroup("implausible", [], ["x", "y", "z"]),
        FailureGroup("no photo", ["a", "b"], ["1.jpg", "2.jpg"]),
        FailureGroup("no photo", ["b"], ["3.jpg"]),
    ]
    assert group_failures({"a": faces(0.1)}, []) == []
