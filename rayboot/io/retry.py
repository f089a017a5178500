"""Trouble of an object store: tried again with growing pauses, then one clear sentence.

A disk that is full is no such trouble: it stays full until somebody frees it.
"""

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import tenacity

from rayboot.errors import DiskFullError, RaybootError, StoreError

__all__ = ["RETRIED_ERRORS", "retry_io", "translate_storage_errors"]

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

_PATIENCE_S = 180.0
_LONGEST_PAUSE_S = 15.0
_WORTH_A_LINE = 4
"""Tries of one call until somebody is told."""

_ANSWERS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""No trouble: asking again gives the same."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""No space left on the device, or none left of the user's share."""

RETRIED_ERRORS = (
    rf"^(?!({'|'.join(kind.__name__ for kind in _ANSWERS)})\b"
    rf"|OSError: \[Errno ({'|'.join(map(str, _FULL))})\])"
)
"""The same for those who tell errors by their text, ``ClassName: message``: a regular expression
of what is tried again."""

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
"""Packages whose errors are a store's, if they are no ``OSError`` anyway."""


def _is_trouble(error: BaseException) -> bool:
    """Whether a store may have raised it and may answer later; a program's own fault is none."""
    if isinstance(error, OSError):
        return not isinstance(error, _ANSWERS) and not _is_full(error)
    return type(error).__module__.partition(".")[0] in _STORE_CLIENTS


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def retry_io(call: Callable[[], _T], uri: str, patience_s: float = _PATIENCE_S) -> _T:
    """What ``call`` returns, tried again while the store is in trouble.

    Throttling (503), timeouts, reset connections and expired credentials raise errors of
    as many classes as there are stores. Answers, and faults of the program, are raised at once.

    Args:
        call: reads or writes ``uri``.
        uri: for the message.
        patience_s: after how long no further try begins.

    Raises:
        StoreError: the trouble lasted longer.
        DiskFullError: there is no space left.
        Exception: what ``call`` raised, if it was no trouble: FileNotFoundError, for one.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_trouble),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_PAUSE_S),
        stop=tenacity.stop_after_delay(patience_s),
        before_sleep=partial(_log_trouble, uri),
        reraise=True,
    )
    try:
        return retrying(call)
    except Exception as error:  # every store has classes of its own
        blamed = _blame(uri, f"no answer from the store within {patience_s:.0f} s", error)
        if blamed is None:
            raise
        raise blamed from error


def _log_trouble(uri: str, state: tenacity.RetryCallState) -> None:
    # Throttled stores refuse once in a while; what is refused again and again is worth a line.
    level = logging.DEBUG if state.attempt_number < _WORTH_A_LINE else logging.WARNING
    error = state.outcome.exception() if state.outcome else None
    _LOG.log(
        level, "%s: try %d failed (%s: %s)",
        uri, state.attempt_number, type(error).__name__, error,
        extra={"uri": uri, "attempt": state.attempt_number},
    )  # fmt: skip


@contextmanager
def translate_storage_errors(uri: str) -> Iterator[None]:
    """Turns what a store or a full disk raises, here or in a worker, into one clear sentence.

    For code of libraries that has lost its own patience.

    Args:
        uri: that it worked on.

    Raises:
        StoreError: the store is in trouble.
        DiskFullError: there is no space left.
    """
    try:
        yield
    except Exception as error:
        blamed = _blame(uri, "the store is in trouble for long", _cause(error))
        if blamed is None:
            raise
        raise blamed from error


def _briefly(error: BaseException) -> str:
    """What it says; Ray Data adds a paragraph on its own settings."""
    return f"{type(error).__name__}: {error}".split(": 'Failed to apply")[0].splitlines()[0]


def _cause(error: BaseException) -> BaseException:
    """What a worker raised, which Ray keeps: Ray Train by the worker's rank, and wrapped."""
    for raised in getattr(error, "worker_failures", {}).values():
        return _cause(raised)
    return getattr(error, "cause", None) or getattr(error, "_base_exc", None) or error


def _blame(uri: str, what: str, error: BaseException) -> RaybootError | None:
    """The sentence for trouble and full disks; None for anything else."""
    if _is_full(error):
        return DiskFullError(
            f"{uri}: no space left on the disk ({_briefly(error)}); free some, and "
            "the same command goes on where it stopped"
        )
    if not _is_trouble(error):
        return None
    return StoreError(
        f"{uri}: {what} ({_briefly(error)}); when it is back, or the credentials are "
        "renewed, the same command goes on where it stopped"
    )
