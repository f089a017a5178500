"""Progress of workers, wherever they run, shown where the driver is.

Workers print into their own logs, on machines that nobody watches. They tell an
actor how far they are instead; a thread of the driver asks it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tqdm import tqdm

__all__ = ["Progress", "beside_driver", "follow_progress", "show_progress"]

_INTERVAL_S = 1.0


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    num_steps: int | None
    text: str


def beside_driver(kind: type) -> Any:
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
    board = beside_driver(_Board)
    try:
        with show_progress(title, unit, lambda: ray.get(board.read.remote()), total):
            yield board
    finally:
        ray.kill(board)


@contextmanager
def show_progress(
    title: str, unit: str, read: Callable[[], Progress | None], total: int | None = None
) -> Iterator[None]:
    """Shows a bar for the time of a ``with`` block, as far as ``read`` says every second."""
    done = threading.Event()
    with tqdm(desc=title, unit=unit, total=total, mininterval=1.0) as bar:
        thread = threading.Thread(target=_show, args=(read, bar, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _show(read: Callable[[], Progress | None], bar: tqdm, done: threading.Event) -> None:
    finished = False
    while not finished:
        # Once more after the end, so that the bar ends where the run did.
        finished = done.wait(_INTERVAL_S)
        progress = read()
        if progress is not None:
            bar.total = progress.num_steps or bar.total
            bar.set_postfix_str(progress.text, refresh=False)
            bar.n = progress.step
            bar.refresh()
