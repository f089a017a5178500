import pytest

from rayboot.data.patience import patiently
from rayboot.errors import StoreError


class Troubled:
    """A store that answers after some failures."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures

    def __call__(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_trouble_is_waited_out() -> None:
    trouble = [OSError("503 Slow Down"), TimeoutError(), ConnectionResetError(), PermissionError()]
    assert patiently(Troubled(trouble), "s3://b/k") == "answer"


def test_answers_are_not_asked_for_again() -> None:
    store = Troubled([FileNotFoundError("k"), OSError("never reached")])
    with pytest.raises(FileNotFoundError):
        patiently(store, "s3://b/k")
    assert len(store.failures) == 1


def test_long_trouble_is_said_in_one_sentence() -> None:
    store = Troubled([OSError("ExpiredToken")] * 99)
    with pytest.raises(StoreError, match=r"s3://b/k: no answer .* ExpiredToken.*goes on where"):
        patiently(store, "s3://b/k", patience_s=1.0)
