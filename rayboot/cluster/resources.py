"""Room for a run's actors on the cluster: nodes are waited for where it grows, else it is refused.

Ray itself would wait without a word, on a cluster that never gets another node as well.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rayboot.errors import RaybootError, RequestError

__all__ = ["WAIT_VARIABLE", "Bundle", "largest_nodes", "require_resources"]

_LOG = logging.getLogger(__name__)

Bundle = Mapping[str, float]
"""What one actor takes: ``CPU``, and ``GPU`` where it takes any."""

WAIT_VARIABLE = "RAYBOOT_WAIT_FOR_NODES_S"
"""Seconds that nodes may take to come, set on clusters that start them by themselves. Ray tells
nobody whether a cluster does, and on any other the wait would be for nothing."""

_FREE_CPUS = 2
_POLL_S, _TELL_S = 2.0, 30.0


def require_resources(actors: Sequence[Bundle], free_cpus: int = _FREE_CPUS) -> None:
    """Returns when the cluster has room for all actors of a run at once.

    Args:
        actors: what each of them takes.
        free_cpus: that must be left to read, filter and write with.

    Raises:
        RaybootError: the cluster that is connected to is too small, and does not grow, or has not
            grown within the time of :data:`WAIT_VARIABLE`.
        RequestError: that variable is no number.
    """
    missing = _missing(actors, free_cpus)
    if not missing:
        return
    patience_s = _patience_s()
    if patience_s == 0:
        raise RaybootError(
            f"{missing}; lower the actors of the config (`pools`, `num_workers`, `num_actors`), or "
            f"add nodes. Where the cluster adds them by itself, set {WAIT_VARIABLE} to the seconds "
            "that it may take"
        )
    _await_nodes(actors, free_cpus, patience_s)


def _await_nodes(actors: Sequence[Bundle], free_cpus: int, patience_s: float) -> None:
    from ray.autoscaler.sdk import request_resources

    started = time.monotonic()
    told = -_TELL_S
    request_resources(bundles=[*map(dict, actors), *([{"CPU": 1}] * free_cpus)])
    try:
        while missing := _missing(actors, free_cpus):
            waited = time.monotonic() - started
            if waited > patience_s:
                raise RaybootError(
                    f"{missing}, {waited:.0f} s after more nodes were asked for ({WAIT_VARIABLE}); "
                    "`ray status` says why none came; the same command goes on"
                )
            if waited - told >= _TELL_S:
                _LOG.info("waiting for nodes, %.0f s of %.0f: %s", waited, patience_s, missing)
                told = waited
            time.sleep(_POLL_S)
    finally:
        # From here on the actors keep their nodes; a request that stayed would keep them for ever.
        with suppress(Exception):
            request_resources(bundles=[])


def _patience_s() -> float:
    text = os.environ.get(WAIT_VARIABLE, "0")
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise RequestError(f"{WAIT_VARIABLE}: expected seconds, 0 or more, got {text!r}")


def _missing(actors: Sequence[Bundle], free_cpus: int) -> str:
    """What the cluster lacks, a sentence; empty where it has room."""
    import ray

    have = ray.cluster_resources()
    cpus, gpus = (sum(actor.get(kind, 0.0) for actor in actors) for kind in ("CPU", "GPU"))
    if cpus + free_cpus > have.get("CPU", 0.0) + 1e-6:
        spare = f" and {free_cpus} more must stay free to read, filter and write" * bool(free_cpus)
        return f"the actors take {cpus:g} CPUs{spare}, but the cluster has {have.get('CPU', 0.0):g}"
    if gpus > have.get("GPU", 0.0) + 1e-6:
        return f"the actors take {gpus:g} GPUs, but the cluster has {have.get('GPU', 0.0):g}"
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for actor in {tuple(sorted(actor.items())) for actor in actors}:
        if not any(all(node.get(k, 0.0) + 1e-6 >= v for k, v in actor) for node in nodes):
            takes = " and ".join(f"{amount:g} {kind}" for kind, amount in actor)
            return f"an actor takes {takes}, and no node of the cluster has that much"
    return ""


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
