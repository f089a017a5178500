import errno
import re

import pytest
from botocore.exceptions import EndpointConnectionError

from rayboot.errors import DiskFullError, RaybootError, StoreError
from rayboot.io.retry import RETRIED_ERRORS, retry_io, translate_storage_errors


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
    assert retry_io(Troubled(trouble), "s3://b/k") == "answer"


def test_answers_are_not_asked_for_again() -> None:
    store = Troubled([FileNotFoundError("k"), OSError("never reached")])
    with pytest.raises(FileNotFoundError):
        retry_io(store, "s3://b/k")
    assert len(store.failures) == 1


def test_long_trouble_is_said_in_one_sentence() -> None:
    store = Troubled([OSError("ExpiredToken")] * 99)
    with pytest.raises(StoreError, match=r"s3://b/k: no answer .* ExpiredToken.*goes on where"):
        retry_io(store, "s3://b/k", patience_s=1.0)


def test_a_client_without_an_answer_is_waited_for() -> None:
    store = Troubled([EndpointConnectionError(endpoint_url="http://s3")])
    assert retry_io(store, "s3://b/k") == "answer"


@pytest.mark.parametrize(
    "fault", [RaybootError("two rows of one photo"), KeyError("faces"), RuntimeError("CUDA error")]
)
def test_a_fault_of_the_program_is_raised_at_once(fault: Exception) -> None:
    store = Troubled([fault, OSError("never reached")])
    with pytest.raises(type(fault)) as raised:
        retry_io(store, "s3://b/k")
    assert raised.value is fault
    assert len(store.failures) == 1


@pytest.mark.parametrize(
    ("text", "retried"),
    [
        ("OSError: [Errno 5] SlowDown", True),
        ("PermissionError: ExpiredToken", True),
        ("botocore.exceptions.EndpointConnectionError: Could not connect", True),
        ("FileNotFoundError: b/k", False),
        ("IsADirectoryError: b", False),
        ("OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space", False),
        ("OSError: [Errno 122] Disk quota exceeded", False),
    ],
)
def test_errors_are_told_by_their_text_as_well(text: str, retried: bool) -> None:
    assert bool(re.search(RETRIED_ERRORS, text)) == retried


class WorkerError(Exception):
    """Stands for Ray's own, which keeps the worker's in ``cause``."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Traceback (most recent call last):")
        self.cause = cause


@pytest.mark.parametrize(
    "error",
    [
        OSError("SlowDown"),
        EndpointConnectionError(endpoint_url="http://s3"),
        WorkerError(TimeoutError("read")),
        WorkerError(EndpointConnectionError(endpoint_url="http://s3")),
    ],
)
def test_a_library_out_of_patience_is_said_in_one_sentence(error: Exception) -> None:
    with pytest.raises(StoreError, match="s3://b/k: the store is in trouble.*goes on where"):
        with translate_storage_errors("s3://b/k"):
            raise error


class TrainingError(Exception):
    """Stands for Ray Train's, which keeps what workers raised, wrapped, by their rank."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Training failed due to worker errors:")
        wrapped = Exception("Traceback (most recent call last):")
        wrapped._base_exc = cause
        self.worker_failures = {1: wrapped}


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_waited_for() -> None:
    store = Troubled([FULL, OSError("never reached")])
    with pytest.raises(DiskFullError, match="/out: no space left on the disk.*goes on where"):
        retry_io(store, "/out")
    assert len(store.failures) == 1


@pytest.mark.parametrize("error", [FULL, WorkerError(FULL), TrainingError(FULL)])
def test_a_full_disk_is_said_in_one_sentence(error: Exception) -> None:
    with pytest.raises(DiskFullError, match="/out: no space left on the disk.*goes on where"):
        with translate_storage_errors("/out"):
            raise error


def test_a_store_that_a_training_could_not_reach_is_named() -> None:
    with pytest.raises(StoreError, match="s3://b/k"), translate_storage_errors("s3://b/k"):
        raise TrainingError(TimeoutError("read"))


def test_a_broken_program_is_not_blamed_on_the_store() -> None:
    with pytest.raises(WorkerError), translate_storage_errors("s3://b/k"):
        raise WorkerError(ZeroDivisionError("division by zero"))
    with pytest.raises(FileNotFoundError), translate_storage_errors("s3://b/k"):
        raise FileNotFoundError("an answer")
