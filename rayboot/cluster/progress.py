"""Progress of workers on any machine, shown by the driver.

What workers print goes to log files on their own machines, which nobody watches. Instead
they report their progress to an actor, which a thread of the driver polls.
"""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tqdm import tqdm

from rayboot.logs import logs_are_json

if TYPE_CHECKING:
    from ray.actor import ActorProxy

__all__ = ["Progress", "ProgressActor", "follow_progress", "show_progress", "spawn_on_driver_node"]

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


class ProgressActor:
    """Actor that keeps the latest progress of a run."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    @ray.method
    def update(self, progress: Progress) -> None:
        """Replaces the progress; workers call it."""
        self._progress = progress

    @ray.method
    def read(self) -> Progress | None:
        """Returns the latest progress; None before the first update."""
        return self._progress


def spawn_on_driver_node(cls: type) -> Any:
    """Starts an actor of a class on the node of the driver, without reserving a CPU.

    Ray could place it on any node, and the run would end when that node is lost. The node of
    the driver is the one that the run cannot lose anyway.

    Returns:
        Handle of the actor. It is typed by whoever receives it: Ray's types know the methods
        of a handle only where ``ray.method`` decorates them.
    """
    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(cls).options(scheduling_strategy=node).remote()


@contextmanager
def follow_progress(
    title: str, unit: str, total: int | None = None
) -> Iterator["ActorProxy[ProgressActor]"]:
    """Shows a bar with the progress that a worker reports, for the time of a ``with`` block.

    Args:
        title: text before the bar.
        unit: unit that is counted.
        total: number of units, if it is known; otherwise the worker reports it.

    Yields:
        Handle of a :class:`ProgressActor`; a worker calls ``update.remote(Progress(...))``.
    """
    handle = spawn_on_driver_node(ProgressActor)
    actor: ActorProxy[ProgressActor] = handle
    try:
        with show_progress(title, unit, lambda: ray.get(actor.read.remote()), total):
            yield actor
    finally:
        ray.kill(handle)


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
            "%s: %d of %s, %s", self._title, progress.step, total or "unknown", progress.text,
            extra={"step": progress.step, "num_steps": total, "unit": self._unit},
        )  # fmt: skip
