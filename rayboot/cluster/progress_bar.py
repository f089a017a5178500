"""A progress bar that a thread of this process draws, or log lines instead; needs no Ray."""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tqdm import tqdm

from rayboot.logs import logs_are_json

__all__ = ["Progress", "show_progress"]

_LOG = logging.getLogger(__name__)

_POLL_S = 1.0
_LINE_INTERVAL_S = 30.0
"""Time between log lines, where no bar can be drawn."""


class Progress(NamedTuple):
    """Progress of a run.

    Attributes:
        step: number of steps that are done.
        num_steps: number of all steps; None if it is unknown.
        text: further information, which is shown after the bar.
    """

    step: int
    num_steps: int | None
    text: str


@contextmanager
def show_progress(
    title: str, unit: str, read: Callable[[], Progress | None], total: int | None = None
) -> Iterator[None]:
    """Shows a bar for the time of a ``with`` block; ``read`` is called every second.

    Where stderr is no terminal, or logs are JSON, there is a log line every 30 seconds instead of
    the bar, and one at the end.
    """
    done = threading.Event()
    with _bar(title, unit, total) as show:
        thread = threading.Thread(target=_poll, args=(read, show, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _poll(
    read: Callable[[], Progress | None], show: Callable[[Progress], None], done: threading.Event
) -> None:
    is_last = False
    while not is_last:
        # The last poll follows the end of the run, so that the bar shows its final state.
        is_last = done.wait(_POLL_S)
        progress = read()
        if progress is not None:
            show(progress)


@contextmanager
def _bar(title: str, unit: str, total: int | None) -> Iterator[Callable[[Progress], None]]:
    if logs_are_json() or not sys.stderr.isatty():
        lines = _LineLogger(title, unit, total)
        try:
            yield lines.show
        finally:
            lines.show_last()
        return
    with tqdm(desc=title, unit=unit, total=total, mininterval=1.0) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.num_steps or bar.total
            bar.set_postfix_str(progress.text, refresh=False)
            bar.n = progress.step
            bar.refresh()

        yield show


class _LineLogger:
    """Logs progress as lines instead of a bar, the first one immediately."""

    def __init__(self, title: str, unit: str, total: int | None) -> None:
        self._title, self._unit, self._total = title, unit, total
        self._next = -math.inf
        self._pending: Progress | None = None

    def show(self, progress: Progress) -> None:
        """Logs the progress, unless the last line is too recent."""
        now = time.monotonic()
        if now < self._next:
            self._pending = progress
            return
        self._next, self._pending = now + _LINE_INTERVAL_S, None
        self._log(progress)

    def show_last(self) -> None:
        """Logs the latest progress if it has not been logged."""
        if self._pending is not None:
            self._log(self._pending)

    def _log(self, progress: Progress) -> None:
        total = progress.num_steps or self._total
        _LOG.info(
            "%s: %d of %s%s", self._title, progress.step, total or "unknown",
            f", {progress.text}" if progress.text else "",
            extra={"step": progress.step, "num_steps": total, "unit": self._unit},
        )  # fmt: skip
