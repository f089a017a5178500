"""Progress of workers, wherever they run, shown where the driver is.

Workers print into their own logs, on machines that nobody watches. They tell an
actor how far they are instead; a thread of the driver asks it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tqdm import tqdm

from rayboot.logs import logs_are_json

__all__ = ["Progress", "follow_progress", "show_progress", "spawn_on_driver_node"]

_LOG = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_LINE_INTERVAL_S = 30.0
"""Between log lines, where no bar can be drawn."""


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    num_steps: int | None
    text: str


def spawn_on_driver_node(kind: type) -> Any:
    """An actor of that class, which takes no CPU, on the driver's own machine.

    Ray would put it anywhere, and a run would end with whatever machine that was; the driver's
    is the one that it cannot lose anyway.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(num_cpus=0)(kind)
    return actor.options(scheduling_strategy=here).remote()


class _Board:
    """Remembers the last word of a run."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def tell(self, progress: Progress) -> None:
        self._progress = progress

    def read(self) -> Progress | None:
        return self._progress


@contextmanager
def follow_progress(title: str, unit: str, total: int | None = None) -> Iterator[Any]:
    """Shows a bar for the time of a ``with`` block, as far as a worker says.

    Args:
        title: before the bar.
        unit: of what is counted.
        total: of what is counted, where it is known; else the worker tells it.

    Yields:
        The handle of an actor; a worker calls ``tell.remote(Progress(...))`` on it.
    """
    board = spawn_on_driver_node(_Board)
    try:
        with show_progress(title, unit, lambda: ray.get(board.read.remote()), total):
            yield board
    finally:
        ray.kill(board)


@contextmanager
def show_progress(
    title: str, unit: str, read: Callable[[], Progress | None], total: int | None = None
) -> Iterator[None]:
    """Shows a bar for the time of a ``with`` block, as far as ``read`` says every second.

    Where logs are JSON it is a line every half minute.
    """
    done = threading.Event()
    with _bar(title, unit, total) as show:
        thread = threading.Thread(target=_follow, args=(read, show, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _follow(
    read: Callable[[], Progress | None], show: Callable[[Progress], None], done: threading.Event
) -> None:
    finished = False
    while not finished:
        # Once more after the end, so that the bar ends where the run did.
        finished = done.wait(_INTERVAL_S)
        progress = read()
        if progress is not None:
            show(progress)


@contextmanager
def _bar(title: str, unit: str, total: int | None) -> Iterator[Callable[[Progress], None]]:
    if logs_are_json():
        yield _Lines(title, unit, total).show
        return
    with tqdm(desc=title, unit=unit, total=total, mininterval=1.0) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.num_steps or bar.total
            bar.set_postfix_str(progress.text, refresh=False)
            bar.n = progress.step
            bar.refresh()

        yield show


class _Lines:
    """Log lines instead of a bar, the first at once."""

    def __init__(self, title: str, unit: str, total: int | None) -> None:
        self._title, self._unit, self._total = title, unit, total
        self._next = -math.inf

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LINE_INTERVAL_S
        total = progress.num_steps or self._total
        _LOG.info(
            "%s: %d of %s, %s", self._title, progress.step, total or "unknown", progress.text,
            extra={"step": progress.step, "num_steps": total, "unit": self._unit},
        )  # fmt: skip
