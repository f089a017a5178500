"""Trouble of an object store: tried again with growing pauses, then one clear sentence."""

import logging
from collections.abc import Callable
from typing import TypeVar

import tenacity

from rayboot.errors import StoreError

__all__ = ["patiently"]

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

_PATIENCE_S = 180.0
_LONGEST_PAUSE_S = 15.0

_REQUEST_FAULTS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
"""Answers, not trouble: asking again gives the same."""


def patiently(call: Callable[[], _T], uri: str, patience_s: float = _PATIENCE_S) -> _T:
    """What ``call`` returns, tried again while the store is in trouble.

    Throttling (503), timeouts, reset connections and expired credentials raise errors of
    as many classes as there are stores; all are tried again but those that are answers.

    Args:
        call: reads or writes ``uri``.
        uri: for the message.
        patience_s: after how long no further try begins.

    Raises:
        StoreError: the trouble lasted longer.
        OSError: of an answer, such as FileNotFoundError.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_not_exception_type(_REQUEST_FAULTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_PAUSE_S),
        stop=tenacity.stop_after_delay(patience_s),
        before_sleep=tenacity.before_sleep_log(_LOG, logging.DEBUG),
        reraise=True,
    )
    try:
        return retrying(call)
    except _REQUEST_FAULTS:
        raise
    except Exception as error:  # every store has classes of its own
        raise StoreError(
            f"{uri}: no answer from the store within {patience_s:.0f} s "
            f"({type(error).__name__}: {error}); when it is back, or the credentials are "
            "renewed, the same command goes on where it stopped"
        ) from error
