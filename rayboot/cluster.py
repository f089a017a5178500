"""Joining a Ray cluster, or starting one on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["connect"]

_WORKER_ENVIRONMENT = {
    # Read by OpenGL and by Mesa when they are imported, so they must be there before.
    "PYOPENGL_PLATFORM": "egl",
    "LP_NUM_THREADS": "1",
}


@contextmanager
def connect(address: str | None = None, num_cpus: int | None = None) -> Iterator[None]:
    """Ray for the time of a ``with`` block; one that runs already is used and left running.

    Args:
        address: of a cluster; None starts Ray on this machine (or joins the job's
            own cluster where ``RAY_ADDRESS`` is set).
        num_cpus: that a Ray started here offers; by default what the machine has.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    runtime_env = {"env_vars": _WORKER_ENVIRONMENT}
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        # "local" starts a cluster even where another one runs on this machine.
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            runtime_env=runtime_env,
            log_to_driver=False,
        )
    else:
        ray.init(address=address, runtime_env=runtime_env, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
