import errno
import re

import pytest
from botocore.exceptions import EndpointConnectionError

from rayboot.errors import AccessError, DiskFullError, RaybootError, StoreError
from rayboot.io.retry import RETRIED_ERRORS, retry_io, translate_storage_errors

DISK_FULL = OSError(errno.ENOSPC, "No space left on device")
RESUMES = "run the same command again: it resumes where it stopped"


class FlakyStore:
    """A call to a store that fails some times before it returns."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures

    def __call__(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "content"


@pytest.fixture
def without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


@pytest.mark.usefixtures("without_delays")
def test_transient_errors_are_retried() -> None:
    expired = PermissionError("The provided token has expired.")
    errors = [OSError("503 Slow Down"), TimeoutError(), ConnectionResetError(), expired]
    assert retry_io(FlakyStore(errors), "s3://b/k") == "content"


@pytest.mark.usefixtures("without_delays")
def test_errors_of_a_client_without_a_connection_are_retried() -> None:
    store = FlakyStore([EndpointConnectionError(endpoint_url="http://s3")])
    assert retry_io(store, "s3://b/k") == "content"


def test_definite_answers_are_not_retried() -> None:
    store = FlakyStore([FileNotFoundError("k"), OSError("never reached")])
    with pytest.raises(FileNotFoundError):
        retry_io(store, "s3://b/k")
    assert len(store.failures) == 1


def test_a_store_that_stays_unavailable_is_reported_in_one_sentence() -> None:
    store = FlakyStore([OSError("ExpiredToken")] * 99)
    message = rf"s3://b/k: object store unavailable for 1 s .*ExpiredToken.*{RESUMES}"
    with pytest.raises(StoreError, match=message):
        retry_io(store, "s3://b/k", timeout_s=1.0)


@pytest.mark.parametrize(
    "error", [RaybootError("two rows of one photo"), KeyError("faces"), RuntimeError("CUDA error")]
)
def test_an_error_of_the_program_is_raised_at_once(error: Exception) -> None:
    store = FlakyStore([error, OSError("never reached")])
    with pytest.raises(type(error)) as raised:
        retry_io(store, "s3://b/k")
    assert raised.value is error
    assert len(store.failures) == 1


@pytest.mark.parametrize(
    ("text", "is_retried"),
    [
        ("OSError: [Errno 5] SlowDown", True),
        ("PermissionError: ExpiredToken", True),
        ("botocore.exceptions.EndpointConnectionError: Could not connect", True),
        ("PermissionError: [Errno 13] Permission denied", False),
        ("FileNotFoundError: b/k", False),
        ("IsADirectoryError: b", False),
        ("OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space", False),
        ("OSError: [Errno 122] Disk quota exceeded", False),
    ],
)
def test_errors_can_be_matched_by_their_text(text: str, is_retried: bool) -> None:
    assert bool(re.search(RETRIED_ERRORS, text)) == is_retried


class WorkerError(Exception):
    """Stands for an error of Ray, which keeps the error of the worker in ``cause``."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Traceback (most recent call last):")
        self.cause = cause


class TrainingError(Exception):
    """Stands for an error of Ray Train, which keeps the workers' errors, wrapped, by rank."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Training failed due to worker errors:")
        wrapped = Exception("Traceback (most recent call last):")
        wrapped._base_exc = cause
        self.worker_failures = {1: wrapped}


@pytest.mark.parametrize(
    "error",
    [
        OSError("SlowDown"),
        EndpointConnectionError(endpoint_url="http://s3"),
        WorkerError(TimeoutError("read")),
        WorkerError(EndpointConnectionError(endpoint_url="http://s3")),
        TrainingError(TimeoutError("read")),
    ],
)
def test_errors_of_a_library_that_gave_up_are_translated(error: Exception) -> None:
    message = rf"s3://b/k: object store unavailable .*{RESUMES}"
    with pytest.raises(StoreError, match=message), translate_storage_errors("s3://b/k"):
        raise error


REFUSALS = [
    PermissionError(errno.EACCES, "Permission denied", "/photos/a.jpg"),
    PermissionError("Access Denied"),
    OSError(errno.EROFS, "Read-only file system", "/out/a.ply"),
    OSError(errno.ENAMETOOLONG, "File name too long", "/out/a.ply"),
    OSError(errno.ELOOP, "Too many levels of symbolic links", "/photos/a.jpg"),
]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_file_is_not_retried(error: OSError) -> None:
    store = FlakyStore([error, OSError("never reached")])
    with pytest.raises(AccessError, match=r"/a: access refused .*check the permissions"):
        retry_io(store, "/a")
    assert len(store.failures) == 1
    assert not re.search(RETRIED_ERRORS, f"{type(error).__name__}: {error}")
    with pytest.raises(AccessError, match="/a: access refused"), translate_storage_errors("/a"):
        raise WorkerError(error)


def test_wrong_credentials_concern_the_store_and_no_single_file() -> None:
    error = PermissionError("The request signature does not match")
    error.__cause__ = Exception("An error occurred (SignatureDoesNotMatch)")
    store = FlakyStore([error, OSError("never reached")])
    with pytest.raises(StoreError, match="the store refuses the credentials"):
        retry_io(store, "s3://b/k")
    assert len(store.failures) == 1


@pytest.mark.usefixtures("without_delays")
def test_credentials_that_expired_are_renewed() -> None:
    # s3fs keeps the code in the cause alone.
    error = PermissionError("Your session is over")
    error.__cause__ = Exception("An error occurred (ExpiredToken) when calling GetObject")
    assert retry_io(FlakyStore([error]), "s3://b/k") == "content"


def test_a_full_disk_is_not_retried() -> None:
    store = FlakyStore([DISK_FULL, OSError("never reached")])
    with pytest.raises(DiskFullError, match=rf"/out: no space left on the disk.*{RESUMES}"):
        retry_io(store, "/out")
    assert len(store.failures) == 1


@pytest.mark.parametrize("error", [DISK_FULL, WorkerError(DISK_FULL), TrainingError(DISK_FULL)])
def test_a_full_disk_is_reported_in_one_sentence(error: Exception) -> None:
    message = rf"/out: no space left on the disk.*{RESUMES}"
    with pytest.raises(DiskFullError, match=message), translate_storage_errors("/out"):
        raise error


def test_errors_of_the_program_are_not_translated() -> None:
    with pytest.raises(WorkerError), translate_storage_errors("s3://b/k"):
        raise WorkerError(ZeroDivisionError("division by zero"))
    with pytest.raises(FileNotFoundError), translate_storage_errors("s3://b/k"):
        raise FileNotFoundError("b/k")
