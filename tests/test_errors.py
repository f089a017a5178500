import inspect
import pickle

import pytest

from rayboot import errors


def test_every_error_is_a_rayboot_error() -> None:
    classes = [
        thing
        for thing in vars(errors).values()
        if inspect.isclass(thing) and thing.__module__ == errors.__name__
    ]
    assert len(classes) > 5
    assert all(issubclass(error, errors.RaybootError) for error in classes)


@pytest.mark.parametrize("cls", [errors.ShapeError, errors.DegenerateInputError])
def test_bad_values_are_value_errors_too(cls: type[Exception]) -> None:
    # Code outside rayboot catches ValueError, which NumPy would have raised.
    assert issubclass(cls, ValueError)


def test_a_reject_has_stage_reason_and_message() -> None:
    reject = errors.FaceRejectedError("read", "undecodable", "a.jpg: no image")
    assert (reject.stage, reject.reason, reject.message) == (
        "read",
        "undecodable",
        "a.jpg: no image",
    )
    assert str(reject) == "read: undecodable: a.jpg: no image"


def test_a_reject_can_be_pickled() -> None:
    reject = errors.FaceRejectedError("pose", "unsure", "b.jpg: eigenvalues are equal")
    again = pickle.loads(pickle.dumps(reject))
    assert type(again) is errors.FaceRejectedError
    assert vars(again) == vars(reject)
    assert str(again) == str(reject)
