"""Trouble of an object store: tried again with growing pauses, then one clear sentence."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import tenacity

from rayboot.errors import StoreError

__all__ = ["RETRIED_ERRORS", "blaming_store", "patiently"]

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

_PATIENCE_S = 180.0
_LONGEST_PAUSE_S = 15.0
_WORTH_A_LINE = 4
"""Tries of one call until somebody is told."""

_ANSWERS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""No trouble: asking again gives the same."""

RETRIED_ERRORS = rf"^(?!({'|'.join(kind.__name__ for kind in _ANSWERS)})\b)"
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
        return not isinstance(error, _ANSWERS)
    return type(error).__module__.partition(".")[0] in _STORE_CLIENTS


def patiently(call: Callable[[], _T], uri: str, patience_s: float = _PATIENCE_S) -> _T:
    """What ``call`` returns, tried again while the store is in trouble.

    Throttling (503), timeouts, reset connections and expired credentials raise errors of
    as many classes as there are stores. Answers, and faults of the program, are raised at once.

    Args:
        call: reads or writes ``uri``.
        uri: for the message.
        patience_s: after how long no further try begins.

    Raises:
        StoreError: the trouble lasted longer.
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
        if not _is_trouble(error):
            raise
        raise _store_error(
            uri, f"no answer from the store within {patience_s:.0f} s", error
        ) from error


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
def blaming_store(uri: str) -> Iterator[None]:
    """Turns what a store raises, here or in a worker, into :class:`StoreError`.

    For code of libraries that has lost its own patience.

    Args:
        uri: that it worked on.
    """
    try:
        yield
    except Exception as error:
        # Ray keeps what a worker raised as ``cause``.
        cause = getattr(error, "cause", None) or error
        if _is_trouble(cause):
            raise _store_error(uri, "the store is in trouble for long", cause) from error
        raise


def _store_error(uri: str, what: str, error: BaseException) -> StoreError:
    return StoreError(
        f"{uri}: {what} ({type(error).__name__}: {error}); when it is back, or the credentials "
        "are renewed, the same command goes on where it stopped"
    )
