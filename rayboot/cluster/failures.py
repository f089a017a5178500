"""What Ray raises when machines, processes or memory are lost for good: one clear sentence.

Ray starts again what it loses, some times; then it raises errors of its own, in pages.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rayboot.errors import ClusterError

__all__ = ["translate_ray_errors"]

_FIRST_WORDS = 300


@contextmanager
def translate_ray_errors(uri: str) -> Iterator[None]:
    """Turns what Ray raises of lost machines, processes and memory into one clear sentence.

    What a program raised, in an actor's constructor for one, stays as it is.

    Args:
        uri: that the run writes to.

    Raises:
        ClusterError: something was lost more often than it is started again.
    """
    try:
        yield
    except Exception as error:
        lost = _find_loss(error)
        if lost is None:
            raise
        said = " ".join(str(lost).split())[:_FIRST_WORDS]
        raise ClusterError(
            f"{uri}: the cluster lost machines or processes of this run more often than they are "
            f"started again ({type(lost).__name__}: {said}); look at its nodes and their memory, "
            "then the same command goes on where it stopped"
        ) from error


def _find_loss(error: BaseException) -> BaseException | None:
    from ray import exceptions

    kinds = (
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        exceptions.OutOfDiskError,
    )
    # Ray Train keeps what happened by the worker's rank.
    for found in (error, *getattr(error, "worker_failures", {}).values()):
        if isinstance(found, kinds) and not getattr(found, "actor_init_failed", False):
            return found
    return None
