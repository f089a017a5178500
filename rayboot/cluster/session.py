"""Connection to a Ray cluster, or start of a local one on this machine."""

import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.cluster.environment import find_start_problems
from rayboot.cluster.restart_notice import print_restart_notice_aside
from rayboot.errors import ClusterError
from rayboot.io.s3_access import ANONYMOUS_VARIABLE, CHECKSUM_VARIABLE, anonymous_setting

__all__ = ["LOCAL_ENVIRONMENT", "connect"]

_WORKER_ENVIRONMENT = {
    # OpenGL, Mesa and OpenCV read these when they are imported.
    "PYOPENGL_PLATFORM": "egl",
    "LP_NUM_THREADS": "1",
    # Ray limits the threads of NumPy and PyTorch to the CPUs of an actor, but not OpenCV's.
    "OPENCV_FOR_THREADS_NUM": "1",
    # By default the C library returns large blocks to the system when they are freed, and the
    # system clears every page again for the next layer of a network: a tenth of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
"""Environment variables of all workers."""

LOCAL_ENVIRONMENT = {
    # By default Ray Data starts 32 processes to read the footers of Parquet files, for every
    # read: on two cores it takes half a minute until the first row.
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
    # By default Ray's workers run at niceness 15: any other program on a laptop starves them.
    "RAY_worker_niceness": "0",
}
"""Environment variables of a Ray on one machine, unless the user's environment sets them."""

_STORE_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    CHECKSUM_VARIABLE,
    "AZURE_STORAGE_ACCOUNT_NAME",
    "STORAGE_EMULATOR_HOST",
)
"""What tells workers of the object store, taken from the driver. Access keys are not passed
on, because the dashboard shows these variables; each machine has keys of its own."""

_LOG = logging.getLogger(__name__)

_NUM_SPARE_CPUS = 3

_MAX_REASON_CHARS = 300

_PORT_TIMEOUT_S = 10.0


@contextmanager
def connect(
    address: str | None = None,
    num_cpus: int | None = None,
    object_store_memory: int | None = None,
) -> Iterator[None]:
    """Connects to Ray within a ``with`` block; an initialised Ray is used, and left running.

    Args:
        address: address of a cluster; None starts Ray on this machine (or connects to the
            cluster of the job where ``RAY_ADDRESS`` is set).
        num_cpus: number of logical CPUs of a local Ray; by default three more than the
            cores that this process may use. Tasks that read, filter and write wait most of the
            time, and actor pools that use every CPU would leave them none: the run would hang
            without a message.
        object_store_memory: size of the object store of a local Ray in bytes; by default
            Ray chooses it.

    Raises:
        ClusterError: the cluster cannot be reached, or Ray cannot be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    # Plans and hints of Ray Data would hide the progress bar; they remain in Ray's log files.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # A run with fewer photos than actors is valid.
    warnings.filterwarnings("ignore", "The (min|max)imum number of concurrent", UserWarning)
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    _report_start_problems(address)
    runtime_env = {"env_vars": dict(_WORKER_ENVIRONMENT)}
    if (setting := anonymous_setting()) is not None:
        runtime_env["env_vars"][ANONYMOUS_VARIABLE] = setting
    if address is None:
        for name, value in LOCAL_ENVIRONMENT.items():
            runtime_env["env_vars"][name] = os.environ.setdefault(name, value)
        # "local" starts a new cluster even if another one runs on this machine.
        _init(
            address="local",
            object_store_memory=object_store_memory,
            num_cpus=num_cpus or count_usable_cores() + _NUM_SPARE_CPUS,
            include_dashboard=False,
            runtime_env=runtime_env,
        )
    else:
        for name in _STORE_VARIABLES:
            if name in os.environ:
                runtime_env["env_vars"][name] = os.environ[name]
        _init(address=address, runtime_env=runtime_env)
    try:
        print_restart_notice_aside()
        with _interrupted_by_sigterm():
            yield
    finally:
        ray.shutdown()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Makes SIGTERM what Ctrl-C is, within a ``with`` block.

    Batch systems, service managers and clusters end a run by SIGTERM, at which Ray would abort the
    process: its lease and its local Ray would remain for a while. Only the main thread may set
    signal handlers; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        # None stands for a handler that was not set from Python.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _report_start_problems(address: str | None) -> None:
    """Warns of what in the environment is in the way of a run.

    Raises:
        ClusterError: Ray cannot start because of it.
    """
    for problem in find_start_problems(address):
        if problem.is_fatal:
            raise ClusterError(
                f"Ray cannot be started on this machine: {problem.name}: {problem.detail}; "
                f"{problem.remedy}"
            )
        _LOG.warning("%s: %s; %s", problem.name, problem.detail, problem.remedy)


def _wait_for_port(address: str) -> None:
    """Waits some seconds for the port of an address; Ray itself would wait for minutes.

    Raises:
        OSError: nothing answers there.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():  # "local", "auto"
        return
    deadline = time.monotonic() + _PORT_TIMEOUT_S
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PORT_TIMEOUT_S).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def _init(*, address: str, **options: Any) -> None:
    """Calls ``ray.init``, whose errors are many lines of the processes that it starts.

    Raises:
        ClusterError: the cluster cannot be reached, or Ray cannot be started.
    """
    import ray

    try:
        _wait_for_port(address)
        context: Any = ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR, **options
        )
    except (
        Exception
    ) as error:  # Ray raises many classes, RuntimeError and ConnectionError among them
        ray.shutdown()
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARS]
        what = f"the Ray cluster at {address} cannot be reached"
        remedy = "check RAY_ADDRESS and that the cluster runs, or unset it to use this machine"
        if address == "local":
            what, remedy = "Ray cannot be started on this machine", "see `rayboot doctor`"
        raise ClusterError(f"{what} ({type(error).__name__}: {reason}); {remedy}") from error
    # HOST:PORT; a Ray that was started here has no dashboard.
    if dashboard := getattr(context, "dashboard_url", ""):
        _LOG.info("Ray's dashboard: http://%s", dashboard)
