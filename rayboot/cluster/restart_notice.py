"""Keeps Ray's notice "the actor restart will fail" from the terminal.

Ray prints it, once in each process, for the first actor that has arguments in the object store and
may be restarted. Every actor of Ray Data is one, and no option changes that. The arguments would be
lost with the process that owns them only, which is the driver: then there is no run to restart.
"""

from typing import Any

from rayboot.cluster.output_filter import without_lines

__all__ = ["print_restart_notice_aside"]

_NOTICE = b"actor restart will fail"


def print_restart_notice_aside() -> None:
    """Makes Ray print the notice now, where nobody sees it; Ray must be initialised."""
    import ray

    # It needs no CPU, and ends before its process has started.
    actor: Any = ray.remote(num_cpus=0, max_restarts=1)(_Nothing)
    argument = ray.put(None)
    with without_lines(_NOTICE):
        handle = actor.remote(argument)
    ray.kill(handle)


class _Nothing:
    def __init__(self, argument: None) -> None:
        pass
