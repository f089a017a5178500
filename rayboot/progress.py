"""Progress of workers, wherever they run, shown where the driver is.

Workers print into their own logs, on machines that nobody watches. They tell an
actor how far they are instead; a thread of the driver asks it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from tqdm import tqdm

__all__ = ["Counting", "Progress", "follow_progress"]

_INTERVAL_S = 1.0


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    num_steps: int | None
    text: str


class _Board:
    """Remembers the last word of a run."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def tell(self, progress: Progress) -> None:
        self._progress = progress

    def add(self, count: int, text: str) -> None:
        """For many workers, each of which knows its own part alone."""
        step = self._progress.step if self._progress else 0
        self._progress = Progress(step + count, None, text)

    def read(self) -> Progress | None:
        return self._progress


class Counting:
    """Adds counts to a board: what a stage calls that knows no Ray."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def __call__(self, count: int) -> None:
        """Adds ``count``."""
        self._board.add.remote(count, "")


@contextmanager
def follow_progress(title: str, unit: str, total: int | None = None) -> Iterator[Any]:
    """Shows a bar for the time of a ``with`` block.

    Args:
        title: before the bar.
        unit: of what is counted.
        total: of what is counted, where it is known; else workers tell it.

    Yields:
        The handle of an actor; workers call ``tell.remote(Progress(...))`` or
        ``add.remote(count, text)`` on it.
    """
    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    done = threading.Event()
    with tqdm(desc=title, unit=unit, total=total, mininterval=1.0) as bar:
        thread = threading.Thread(target=_show, args=(board, bar, done), daemon=True)
        thread.start()
        try:
            yield board
        finally:
            done.set()
            thread.join()
            ray.kill(board)


def _show(board: Any, bar: tqdm, done: threading.Event) -> None:
    finished = False
    while not finished:
        # Once more after the end, so that the bar ends where the run did.
        finished = done.wait(_INTERVAL_S)
        progress = ray.get(board.read.remote())
        if progress is not None:
            bar.total = progress.num_steps or bar.total
            bar.set_postfix_str(progress.text, refresh=False)
            bar.n = progress.step
            bar.refresh()
