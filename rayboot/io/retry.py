"""Retries of calls to an object store, and the error that is raised when they do not help.

Delays grow from try to try. What no waiting mends is not retried: a full disk, a file or store
that refuses access, a name that is too long.
"""

import errno
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import tenacity

from rayboot.errors import AccessError, DiskFullError, RaybootError, StoreError

__all__ = ["RETRIED_ERRORS", "retry_io", "translate_storage_errors"]

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

_TIMEOUT_S = 180.0
_MAX_DELAY_S = 15.0
_NUM_SILENT_TRIES = 3
"""Number of failed tries of one call that are logged at DEBUG; later ones are warnings."""

_DEFINITE_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""Errors that are the answer of the store: another try gives the same."""

_DISK_FULL_CODES = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers for no space left on the device, and for a quota that is used up."""

_REFUSAL_CODES = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.ENODEV, errno.ENXIO),
)
"""Error numbers of a refused access, a read-only disk, a name that is no valid one, and of pipes,
sockets and devices."""

_EXPIRED = r"(?i:expired|TimeTooSkewed|RefreshRequired|time frame)"
"""What errors of credentials say that will be renewed, or of a clock that will be set."""

_BAD_CREDENTIALS = (
    "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSecurity"  # S3
    "|failed to authenticate|AuthenticationFailed|InvalidAuthenticationInfo"  # Azure
    "|Anonymous caller|Invalid Credentials"  # Google
)
"""What a store answers whose credentials are wrong for every file, not for one."""

_REFUSAL_STATUSES = (401, 403)
_ARCHIVED = "BlobArchived"
"""What Azure answers, with status 409, for a file that was moved to the archive."""

_REFUSALS_IN_WORDS = (
    "OSError: Forbidden: "  # gcsfs
    r"|[\w.]*(ResponseError|AuthenticationError|ExistsError): (?s:.*)"
    rf"ErrorCode:(Auth|Insufficient|{_ARCHIVED})"
)
"""How errors of gcsfs and of Azure's clients begin that say that access is refused."""

RETRIED_ERRORS = (
    rf"^(?!({'|'.join(kind.__name__ for kind in _DEFINITE_ERRORS)})\b"
    rf"|PermissionError\b(?!.*{_EXPIRED})"
    rf"|(?!(?s:.*){_EXPIRED})({_REFUSALS_IN_WORDS})"
    rf"|OSError: \[Errno ({'|'.join(map(str, _DISK_FULL_CODES + _REFUSAL_CODES))})\])"
)
"""Regular expression of the errors that are retried, for libraries that match errors by their
text, ``ClassName: message``."""

_STORE_CLIENTS = (
    "adlfs",
    "aiobotocore",
    "aiohttp",
    "azure",
    "botocore",
    "gcsfs",
    "google",
    "requests",
    "urllib3",
)
"""Packages whose exceptions come from a store even where they are not an ``OSError``."""


def _is_transient(error: BaseException) -> bool:
    """Whether a store raised the error and may succeed later, unlike an error of the program."""
    is_answer = isinstance(error, _DEFINITE_ERRORS) or _is_disk_full(error)
    return _may_be_of_store(error) and not is_answer and not _is_refused(error)


def _may_be_of_store(error: BaseException) -> bool:
    client = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or client in _STORE_CLIENTS


def _is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _DISK_FULL_CODES


def _is_refused(error: BaseException) -> bool:
    """Whether a disk or store refuses the file, and will refuse it again."""
    if not _may_be_of_store(error):
        return False
    is_archived = _ARCHIVED in str(error)
    if isinstance(error, PermissionError) or _status(error) in _REFUSAL_STATUSES or is_archived:
        # s3fs keeps the code of the store's answer in the cause alone.
        return re.search(_EXPIRED, f"{error} {error.__cause__}") is None
    return isinstance(error, OSError) and error.errno in _REFUSAL_CODES


def _status(error: BaseException) -> int | None:
    """HTTP status that a store answered with, where its client tells it."""
    for name in ("status_code", "code", "status"):  # of azure, gcsfs and aiohttp
        status = str(getattr(error, name, ""))
        if status.isdigit():
            return int(status)
    return 403 if str(error).startswith("Forbidden: ") else None  # gcsfs, as an OSError


def retry_io(call: Callable[[], _T], uri: str, timeout_s: float = _TIMEOUT_S) -> _T:
    """Returns the result of ``call``, which is retried while the store is unavailable.

    Throttling (503), timeouts, reset connections and expired credentials raise different
    classes in every store. Definite answers, and errors of the program, are raised at once.

    Args:
        call: function that reads or writes ``uri``.
        uri: URI that error messages name.
        timeout_s: time after which no further try begins.

    Raises:
        StoreError: the store was unavailable for longer than ``timeout_s``.
        DiskFullError: the disk is full.
        AccessError: the disk or store refuses the file.
        Exception: whatever else ``call`` raised, FileNotFoundError for example.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=_MAX_DELAY_S),
        stop=tenacity.stop_after_delay(timeout_s),
        before_sleep=partial(_log_failed_try, uri),
        reraise=True,
    )
    try:
        return retrying(call)
    except Exception as error:  # every store has exception classes of its own
        translated = _translate(uri, f"object store unavailable for {timeout_s:.0f} s", error)
        if translated is None:
            raise
        raise translated from error


def _log_failed_try(uri: str, state: tenacity.RetryCallState) -> None:
    # Throttling makes a call fail once in a while; only repeated failures concern the user.
    level = logging.DEBUG if state.attempt_number <= _NUM_SILENT_TRIES else logging.WARNING
    error = state.outcome.exception() if state.outcome else None
    _LOG.log(
        level, "%s: try %d failed (%s: %s)",
        uri, state.attempt_number, type(error).__name__, error,
        extra={"uri": uri, "attempt": state.attempt_number},
    )  # fmt: skip


@contextmanager
def translate_storage_errors(uri: str) -> Iterator[None]:
    """Turns errors of a store or a full disk, here or in a worker, into one clear sentence.

    This is for libraries that do their own retries and have given up.

    Args:
        uri: URI that the ``with`` block reads or writes.

    Raises:
        StoreError: the store is unavailable.
        DiskFullError: the disk is full.
        AccessError: a disk or store refuses a file.
    """
    try:
        yield
    except Exception as error:
        translated = _translate(uri, "object store unavailable", _root_cause(error))
        if translated is None:
            raise
        raise translated from error


def _summarize(error: BaseException) -> str:
    """Class and first line of an error, without the paragraph on settings that Ray Data adds."""
    return f"{type(error).__name__}: {error}".split(": 'Failed to apply")[0].splitlines()[0]


def _root_cause(error: BaseException) -> BaseException:
    """The error that a worker raised; Ray Train keeps these by rank, and wraps them again."""
    for worker_error in getattr(error, "worker_failures", {}).values():
        return _root_cause(worker_error)
    return getattr(error, "cause", None) or getattr(error, "_base_exc", None) or error


def _translate(uri: str, problem: str, error: BaseException) -> RaybootError | None:
    """Returns rayboot's error for a full disk, a refused file or an unavailable store, or None."""
    if _is_disk_full(error):
        return DiskFullError(
            f"{uri}: no space left on the disk ({_summarize(error)}); free some, then run the "
            "same command again: it resumes where it stopped"
        )
    if _is_refused(error):
        if re.search(_BAD_CREDENTIALS, f"{error} {error.__cause__}"):
            return StoreError(
                f"{uri}: the store refuses the credentials ({_summarize(error)}); correct them, "
                "then run the same command again: it resumes where it stopped"
            )
        return AccessError(
            f"{uri}: access refused ({_summarize(error)}); check the permissions, the store's "
            "credentials and the length of the name, then run the same command again"
        )
    if not _is_transient(error):
        return None
    return StoreError(
        f"{uri}: {problem} ({_summarize(error)}); when it is available again, or the credentials "
        "are renewed, run the same command again: it resumes where it stopped"
    )
