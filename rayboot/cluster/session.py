"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["LOCAL_ENVIRONMENT", "connect"]

_WORKER_ENVIRONMENT = {
    # Read by OpenGL, Mesa and OpenCV when they are imported, so they must be there before.
    "PYOPENGL_PLATFORM": "egl",
    "LP_NUM_THREADS": "1",
    # Ray bounds the threads of NumPy and PyTorch to an actor's CPUs, but not OpenCV's.
    "OPENCV_FOR_THREADS_NUM": "1",
    # The C library hands memory of this size back to the system when it is freed, and a
    # network's next layer has it cleared page by page again: a tenth of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


LOCAL_ENVIRONMENT = {
    # Of a Ray on one machine. Ray Data starts 32 processes by default to read the footers
    # of Parquet files, for every read: half a minute on two cores, before the first row.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
    # Ray's workers run at niceness 15 by default: any other program on a laptop starves them.
    "RAY_worker_niceness": "0",
}

_STORE_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""Where the object store is: workers ask the driver's. Keys stay out, for whoever sees the
dashboard sees them; each machine has its own."""

_SPARE_CPUS = 3


@contextmanager
def connect(
    address: str | None = None,
    num_cpus: int | None = None,
    object_store_memory: int | None = None,
) -> Iterator[None]:
    """Ray for the time of a ``with`` block; one that runs already is used and left running.

    Args:
        address: of a cluster; None starts Ray on this machine (or joins the job's
            own cluster where ``RAY_ADDRESS`` is set).
        num_cpus: that a Ray started here offers; by default three more than there are
            cores. Reading, filtering and writing wait most of the time, and pools that
            take every CPU would leave them none: the run would hang without a word.
        object_store_memory: of a Ray started here, bytes; by default Ray's own choice.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    # Its plans and hints would bury the progress of the run; they stay in Ray's own logs.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Fewer photos than actors is no mistake.
    warnings.filterwarnings("ignore", "The (min|max)imum number of concurrent", UserWarning)
    if ray.is_initialized():
        yield
        return
    runtime_env = {"env_vars": dict(_WORKER_ENVIRONMENT)}
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        for name, value in LOCAL_ENVIRONMENT.items():
            runtime_env["env_vars"][name] = os.environ.setdefault(name, value)
        # "local" starts a cluster even where another one runs on this machine.
        ray.init(
            address="local",
            object_store_memory=object_store_memory,
            num_cpus=num_cpus or len(os.sched_getaffinity(0)) + _SPARE_CPUS,
            include_dashboard=False,
            runtime_env=runtime_env,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        for name in _STORE_VARIABLES:
            if name in os.environ:
                runtime_env["env_vars"][name] = os.environ[name]
        ray.init(
            address=address,
            runtime_env=runtime_env,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield
    finally:
        ray.shutdown()
