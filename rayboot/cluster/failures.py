"""Translation of Ray's errors for lost machines, processes and memory into one clear sentence.

Ray restarts lost actors and tasks a limited number of times; then it raises errors of its own,
which are pages long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rayboot.errors import ClusterError, RaybootError

__all__ = ["find_rayboot_error", "translate_ray_errors"]

_MAX_REASON_CHARS = 300


@contextmanager
def translate_ray_errors(uri: str) -> Iterator[None]:
    """Translates Ray's errors for lost machines, processes and memory into :class:`ClusterError`.

    Errors that a program raised, for example in the constructor of an actor, are not changed.

    Args:
        uri: URI that the run writes to.

    Raises:
        ClusterError: machines or processes were lost more often than Ray restarts them.
    """
    try:
        yield
    except Exception as error:
        loss = _find_loss(error)
        if loss is None:
            raise
        reason = " ".join(str(loss).split())[:_MAX_REASON_CHARS]
        raise ClusterError(
            f"{uri}: the cluster lost machines or processes of this run more often than Ray "
            f"restarts them ({type(loss).__name__}: {reason}); check its nodes and their memory, "
            "then run the same command again: it resumes where it stopped"
        ) from error


def find_rayboot_error(error: BaseException | None) -> RaybootError | None:
    """Returns rayboot's error in a chain of wrappers; None where there is none.

    Ray wraps the error of a worker in ``cause``; Ray Train stores errors by the worker's rank, and
    that of its controller in ``controller_failure``.
    """
    # What Ray raises for an error of a worker is an instance of its class too, but says the
    # worker's whole traceback.
    original = getattr(error, "cause", None)
    if isinstance(original, RaybootError):
        return original
    if error is None or isinstance(error, RaybootError):
        return error
    wrapped = [
        *getattr(error, "worker_failures", {}).values(),
        getattr(error, "controller_failure", None),
        getattr(error, "cause", None),
        getattr(error, "_base_exc", None),
        error.__cause__,
    ]
    return next((known for inner in wrapped if (known := find_rayboot_error(inner))), None)


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
    # Ray Train keeps the errors of its workers by rank, a lost one's inside of another error.
    failures = getattr(error, "worker_failures", {}).values()
    causes = (getattr(failure, "health_check_failure", failure) for failure in failures)
    for candidate in (error, *causes):
        if isinstance(candidate, kinds) and not getattr(candidate, "actor_init_failed", False):
            return candidate
    return None
