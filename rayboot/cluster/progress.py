"""Progress of workers on any machine, shown by the driver.

What workers print goes to log files on their own machines, which nobody watches. Instead
they report their progress to an actor, which a thread of the driver polls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayboot.cluster.progress_bar import Progress, show_progress

if TYPE_CHECKING:
    from ray.actor import ActorProxy

__all__ = ["ProgressActor", "follow_progress", "spawn_on_driver_node"]


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
