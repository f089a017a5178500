"""Check of Ray: a local one starts, or a cluster answers and has the GPUs that a config needs."""

import logging
import os
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

from rayboot.cluster.dashboard import (
    AUTH_REMEDY,
    count_cluster_gpus,
    find_cluster_token,
    query_dashboard,
)
from rayboot.cluster.resources import WAIT_VARIABLE
from rayboot.diagnostics.check import Check, last_line, run_in_subprocess

__all__ = ["check_ray"]


def check_ray(address: str | None, needed_gpus: float = 0.0) -> Check:
    """Starts a local Ray, or connects to a cluster; reports its authentication and its GPUs.

    Args:
        address: address of the cluster, of its dashboard or for drivers; None for a local Ray.
        needed_gpus: number of GPUs that the config needs at the same time on the cluster.
    """
    if address is None:
        return _check_local()
    if urlsplit(address).scheme in ("http", "https"):
        address = address.rstrip("/")
        check = _check_dashboard(address)
        gpus = None if check.status == "FAIL" else count_cluster_gpus(address)
        if gpus is not None:
            # The sentence on the token comes last, as what is to be done is about it.
            detail = check.detail.replace(address, f"{address} has {gpus:g} GPUs,", 1)
            check = check._replace(detail=detail)
    else:
        check, gpus = _check_driver_address(address)
    if gpus is None or gpus >= needed_gpus:
        return check
    may_grow = os.environ.get(WAIT_VARIABLE, "0") not in ("", "0")
    return Check(
        "Ray",
        "note" if may_grow else "FAIL",
        f"{address} has {gpus:g} GPUs, and the config needs {needed_gpus:g} at the same time",
        f"a run waits {os.environ[WAIT_VARIABLE]} s for nodes with them ({WAIT_VARIABLE})"
        if may_grow
        else "add nodes with GPUs, or request fewer in the config; where the cluster adds nodes "
        f"by itself, set {WAIT_VARIABLE} to the seconds that it may take",
    )


def _check_local() -> Check:
    started = time.monotonic()
    done = _join("local")
    if done.returncode == 0:
        description = done.stdout.strip().splitlines()[-2]
        duration = f"{time.monotonic() - started:.0f} s"
        return Check("Ray", "ok", f"starts on this machine in {duration}, {description}")
    return _explain_failure("local", done, "see the log under /tmp/ray/session_latest/logs")


def _check_driver_address(address: str) -> tuple[Check, float | None]:
    """Returns the check and the number of GPUs, None where the cluster cannot be joined."""
    started = time.monotonic()
    done = _join(address)
    if done.returncode == 0:
        *_, description, gpus = done.stdout.strip().splitlines()
        duration = f"{time.monotonic() - started:.0f} s"
        return Check("Ray", "ok", f"joined {address} in {duration}, {description}"), float(gpus)
    remedy = "check RAY_ADDRESS or ray_address, and that its port can be reached from here"
    return _explain_failure(address, done, remedy), None


def _join(address: str) -> subprocess.CompletedProcess[str]:
    return run_in_subprocess(
        f"from rayboot.diagnostics.ray_check import _join_ray; _join_ray({address!r})",
        timeout_s=120,
    )


def _explain_failure(address: str, done: subprocess.CompletedProcess[str], remedy: str) -> Check:
    reason = last_line(done)
    if "uthentication" in done.stderr or "UNAUTHENTICATED" in done.stderr:
        return Check("Ray", "FAIL", f"{address} requires a token: {reason}", AUTH_REMEDY)
    return Check("Ray", "FAIL", f"{address}: {reason}", remedy)


def _join_ray(address: str) -> None:
    """Runs one task on Ray at ``address``; prints a description, then the number of GPUs.

    Meant for a child process.
    """
    import ray

    options: dict[str, Any] = {}
    if address == "local":
        options = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    ray.get(ray.remote(num_cpus=0.1)(lambda: 1).remote())
    resources: dict[str, float] = ray.cluster_resources()
    cpus = resources.get("CPU", 0)
    # A local start sets the variable to the mode that it chose.
    mode = os.environ.get("RAY_AUTH_MODE") or "token if there is one"
    ray.shutdown()
    gpus = resources.get("GPU", 0)
    scope = "" if address == "local" else f", {cpus:.0f} CPUs and {gpus:.0f} GPUs"
    print(f"Ray {ray.__version__}{scope}, authentication: {mode}\n{gpus}")


def _check_dashboard(address: str) -> Check:
    try:
        dashboard = query_dashboard(address)
    except OSError as error:
        return Check(
            "Ray",
            "FAIL",
            f"{address} does not answer: {error}",
            "check the address (port 8265 by default), and that it can be reached from here",
        )
    if dashboard.status in (401, 403):
        refusal = "requires a token" if find_cluster_token() is None else "refuses this token"
        return Check("Ray", "FAIL", f"{address} {refusal}", AUTH_REMEDY)
    if dashboard.status != 200:
        return Check(
            "Ray",
            "FAIL",
            f"{address} answers with HTTP status {dashboard.status}",
            "check that this is the address of a Ray dashboard",
        )
    if not dashboard.is_open:
        return Check("Ray", "ok", f"{address} answers and accepts the token")
    return Check(
        "Ray",
        "note",
        f"{address} answers and requires no token",
        "anyone who can reach it can run code there; start the cluster with RAY_AUTH_MODE=token",
    )
