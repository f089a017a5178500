"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rayboot.errors import RaybootError

__all__ = ["LOCAL_ENVIRONMENT", "connect", "largest_nodes", "require_room"]

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
}

_SPARE_CPUS = 3


def require_room(num_cpus: float, num_gpus: float = 0.0) -> None:
    """Refuses pools that leave a cluster no CPU to read and write with: they would hang.

    Args:
        num_cpus: that all actors of a run take together.
        num_gpus: likewise.

    Raises:
        RaybootError: the cluster that is connected to has fewer, or less than two CPUs more.
    """
    import ray

    have = ray.cluster_resources()
    cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
    if num_cpus + 2 > cpus:
        raise RaybootError(
            f"the pools take {num_cpus:g} CPUs and two more must stay free to read, filter and "
            f"write, but the cluster has {cpus:g}; lower `pools` in the config, or add nodes"
        )
    if num_gpus > gpus:
        raise RaybootError(
            f"the pools take {num_gpus:g} GPUs, but the cluster has {gpus:g}; lower "
            "`pools.reconstruct_gpus` or `pools.num_reconstruct_actors` in the config, or add nodes"
        )


def largest_nodes() -> tuple[float, float, int]:
    """Cores and GPUs of the cluster's largest node, GPUs first, and how many nodes are alike."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    sizes = []
    for node in ray.nodes():
        if node["Alive"]:
            cpus = float(node["Resources"].get("CPU", 0.0))
            # A Ray started here offers more than there are.
            most = len(os.sched_getaffinity(0)) if node["NodeID"] == here else cpus
            sizes.append((float(node["Resources"].get("GPU", 0.0)), min(cpus, most)))
    gpus, cpus = max(sizes)
    return cpus, gpus, sizes.count((gpus, cpus))


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
