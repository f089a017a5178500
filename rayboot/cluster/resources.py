"""Check that the cluster has the resources for all actors of a run.

Where the cluster adds nodes by itself, they are requested and waited for; elsewhere the run is
refused. Ray itself would wait without a message, even on a cluster that never gets another node.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.errors import RaybootError, RequestError

__all__ = [
    "WAIT_VARIABLE",
    "Bundle",
    "count_cores",
    "find_largest_nodes",
    "has_one_core",
    "require_resources",
]

_LOG = logging.getLogger(__name__)

Bundle = Mapping[str, float]
"""Resources of one actor: ``CPU``, and ``GPU`` if it uses any."""

WAIT_VARIABLE = "RAYBOOT_WAIT_FOR_NODES_S"
"""Environment variable: seconds to wait for new nodes, set on clusters that add nodes by
themselves. Ray does not report whether a cluster does, and on any other the wait is useless."""

_NUM_FREE_CPUS = 2
_POLL_S, _LOG_INTERVAL_S = 2.0, 30.0
_TOLERANCE = 1e-6
"""Tolerance of sums of fractional resources."""


def require_resources(actors: Sequence[Bundle], free_cpus: int = _NUM_FREE_CPUS) -> None:
    """Returns when the cluster has the resources for all actors of a run at the same time.

    Args:
        actors: resources of each actor.
        free_cpus: number of CPUs that must remain for the tasks that read, filter and write.

    Raises:
        RaybootError: the connected cluster is too small, and either does not add nodes or
            has not added enough within the time of :data:`WAIT_VARIABLE`.
        RequestError: the value of that variable is not a number of seconds, or an actor asks for
            more than one GPU, but not for a whole number.
    """
    for gpus in (actor.get("GPU", 0.0) for actor in actors):
        if gpus > 1 and not float(gpus).is_integer():
            raise RequestError(
                f"an actor asks for {gpus:g} GPUs; Ray reserves a fraction of one GPU, or whole "
                "GPUs: round the number of the config up or down"
            )
    shortage = _describe_shortage(actors, free_cpus)
    if not shortage:
        return
    timeout_s = _wait_timeout_s()
    if timeout_s == 0:
        raise RaybootError(
            f"{shortage}; lower the actors of the config (`pools`, `num_workers`, `num_actors`), "
            f"or add nodes. If the cluster adds them by itself, set {WAIT_VARIABLE} to the "
            "seconds that it may take"
        )
    _wait_for_nodes(actors, free_cpus, timeout_s)


def _wait_for_nodes(actors: Sequence[Bundle], free_cpus: int, timeout_s: float) -> None:
    from ray.autoscaler.sdk import request_resources

    start = time.monotonic()
    last_logged = -_LOG_INTERVAL_S
    request_resources(bundles=[*map(dict, actors), *([{"CPU": 1}] * free_cpus)])
    try:
        while shortage := _describe_shortage(actors, free_cpus):
            waited = time.monotonic() - start
            if waited > timeout_s:
                raise RaybootError(
                    f"{shortage}, {waited:.0f} s after more nodes were requested "
                    f"({WAIT_VARIABLE}); `ray status` shows why none was added; then run the same "
                    "command again"
                )
            if waited - last_logged >= _LOG_INTERVAL_S:
                _LOG.info("waiting for nodes, %.0f s of %.0f s: %s", waited, timeout_s, shortage)
                last_logged = waited
            time.sleep(_POLL_S)
    finally:
        # The running actors keep their nodes; a request that remained would keep them for ever.
        with suppress(Exception):
            request_resources(bundles=[])


def _wait_timeout_s() -> float:
    text = os.environ.get(WAIT_VARIABLE, "0")
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise RequestError(f"{WAIT_VARIABLE}: expected seconds, 0 or more, got {text!r}")


def _describe_shortage(actors: Sequence[Bundle], free_cpus: int) -> str:
    """Describes the first resource that the cluster lacks; empty if it has enough."""
    import ray

    total: dict[str, float] = ray.cluster_resources()
    cpus, gpus = (sum(actor.get(kind, 0.0) for actor in actors) for kind in ("CPU", "GPU"))
    if cpus + free_cpus > total.get("CPU", 0.0) + _TOLERANCE:
        spare = f" and {free_cpus} more must stay free to read, filter and write" * bool(free_cpus)
        return (
            f"the actors need {cpus:g} CPUs{spare}, but the cluster has {total.get('CPU', 0.0):g}"
        )
    if gpus > total.get("GPU", 0.0) + _TOLERANCE:
        return f"the actors need {gpus:g} GPUs, but the cluster has {total.get('GPU', 0.0):g}"
    if shortage := _describe_split_gpus(actors, total.get("GPU", 0.0)):
        return shortage
    nodes = [node["Resources"] for node in _alive_nodes()]
    for actor in {tuple(sorted(actor.items())) for actor in actors}:
        if not any(all(node.get(k, 0.0) + _TOLERANCE >= v for k, v in actor) for node in nodes):
            needs = " and ".join(f"{amount:g} {kind}" for kind, amount in actor)
            return f"an actor needs {needs}, and no node of the cluster has that much"
    return ""


def _describe_split_gpus(actors: Sequence[Bundle], total: float) -> str:
    """Describes fractions that do not fit onto single GPUs, though their sum is small enough.

    An actor's fraction is never spread over two.
    """
    counts = Counter(actor.get("GPU", 0.0) for actor in actors)
    for fraction, count in sorted(counts.items()):
        if not 0 < fraction < 1:
            continue
        per_gpu = int(1 / fraction + _TOLERANCE)
        num_gpus = -(-count // per_gpu)
        if num_gpus > total + _TOLERANCE:
            return (
                f"{count} actors need {fraction:g} of a GPU each, and a GPU has room for "
                f"{per_gpu}: that is {num_gpus} GPUs, but the cluster has {total:g}"
            )
    return ""


def _alive_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def count_cores() -> int:
    """Returns the number of CPUs of all nodes, of this machine not more than the cores to use."""
    return max(1, int(sum(_count_cpus(node) for node in _alive_nodes())))


def _count_cpus(node: Mapping[str, Any]) -> float:
    import ray

    cpus = float(node["Resources"].get("CPU", 0.0))
    if node["NodeID"] != ray.get_runtime_context().get_node_id():
        return cpus
    # A Ray that `connect` started declares more CPUs than the machine has cores.
    return min(cpus, count_usable_cores())


def has_one_core() -> bool:
    """Whether Ray runs on this machine alone, and may use one core of it."""
    import ray

    if "RAY_ADDRESS" in os.environ or _wait_timeout_s():
        return False
    nodes = [node["NodeID"] for node in _alive_nodes()]
    return nodes == [ray.get_runtime_context().get_node_id()] and count_usable_cores() == 1


def find_largest_nodes() -> tuple[float, float, int]:
    """Returns CPUs and GPUs of the largest node (by GPUs, then CPUs), and how many are like it."""
    sizes = [
        (float(node["Resources"].get("GPU", 0.0)), _count_cpus(node)) for node in _alive_nodes()
    ]
    gpus, cpus = max(sizes)
    return cpus, gpus, sizes.count((gpus, cpus))
