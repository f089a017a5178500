"""How long an input takes on so many nodes, and what holds it back: from measured times."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rayboot.pipeline.config import PoolConfig

__all__ = ["Forecast", "Measured", "Node", "forecast", "format_forecasts", "suggest_pools"]

_FREE_CPUS = 2.0
"""That must stay outside the pools, see :func:`rayboot.room.require_room`."""

_HEADROOM = 1.2
"""Of pools that shall not be what holds a run back."""


class Node(NamedTuple):
    """A machine of the cluster.

    Attributes:
        cpus: its cores.
        gpus: likewise.
    """

    cpus: float
    gpus: float = 0.0


class Measured(NamedTuple):
    """What a sample of photos took.

    Attributes:
        num_photos: of the sample.
        num_faces: of them.
        cpu_s: processor time a photo by stage, rejects counted in.
        busy_s: time a photo keeps an actor, likewise.
        on_gpu: whether the network runs on one.
        start_s: from the start to the first finished photos.
        engine_rate: photos a second that pass through stages that do nothing.
    """

    num_photos: int
    num_faces: int
    cpu_s: Mapping[str, float]
    busy_s: Mapping[str, float]
    on_gpu: bool
    start_s: float
    engine_rate: float


class Forecast(NamedTuple):
    """A whole input on ``num_nodes`` alike nodes.

    Attributes:
        num_nodes: how many.
        rate: photos a second once all actors run.
        hours: start included.
        node_hours: times nodes.
        held_back_by: ``processors``, ``GPUs``, ``Ray's driver`` or ``the start``.
        pools: that keep the scarcest busy.
    """

    num_nodes: int
    rate: float
    hours: float
    node_hours: float
    held_back_by: str
    pools: PoolConfig


def forecast(
    measured: Measured, num_photos: int, node: Node, num_nodes: int, pools: PoolConfig
) -> Forecast:
    """What a run on that many nodes will do.

    Args:
        measured: on one node of the kind.
        num_photos: of the whole input.
        node: each of them.
        num_nodes: how many.
        pools: of the config; what is not a number of actors or their size is kept.
    """
    limits = {
        "processors": num_nodes * node.cpus / sum(measured.cpu_s.values()),
        "Ray's driver": measured.engine_rate,
    }
    if measured.on_gpu:
        limits["GPUs"] = num_nodes * node.gpus / measured.busy_s["reconstruct"]
    held_back_by = min(limits, key=lambda name: limits[name])
    rate = limits[held_back_by]
    work_s = num_photos / rate
    if measured.start_s > work_s:
        held_back_by = "the start"
    hours = (measured.start_s + work_s) / 3600
    suggested = suggest_pools(measured, rate, node, num_nodes, pools)
    return Forecast(num_nodes, rate, hours, num_nodes * hours, held_back_by, suggested)


def suggest_pools(
    measured: Measured, rate: float, node: Node, num_nodes: int, pools: PoolConfig
) -> PoolConfig:
    """Pools for ``rate`` photos a second on that many nodes.

    Actors of one thread each; where they are more than cores, the cores take turns.
    """
    # A reader waits for the store most of the time: what counts is how long it is kept.
    num_readers = max(1, math.ceil(_HEADROOM * rate * measured.busy_s["read"]))
    num_render = max(1, math.ceil(rate * measured.cpu_s["turn"]))
    if measured.on_gpu:
        # Renderers that hold a share of a GPU leave the networks less, but never nothing.
        gpus = num_nodes * node.gpus
        if pools.render_gpus:
            room_for = _whole((gpus - pools.reconstruct_gpus) / pools.render_gpus)
            num_render = max(1, min(num_render, room_for))
        free_gpus = gpus - num_render * pools.render_gpus
        num_reconstruct = max(1, _whole(free_gpus / pools.reconstruct_gpus))
    else:
        num_reconstruct = max(1, math.ceil(rate * measured.cpu_s["reconstruct"]))
    room = num_nodes * node.cpus - _FREE_CPUS
    reader_cpus = min(pools.reader_cpus, _share(room / 4, num_readers))
    rest = room - num_readers * reader_cpus
    cpus = min(0.9, _share(rest, num_render + num_reconstruct))
    return pools.replace(
        num_readers=num_readers,
        reader_cpus=reader_cpus,
        num_reconstruct_actors=num_reconstruct,
        reconstruct_cpus=cpus,
        num_render_actors=num_render,
        render_cpus=cpus,
    )


def _whole(quotient: float) -> int:
    # Shares such as 0.1 do not divide exactly.
    return math.floor(quotient + 1e-6)


def _share(cpus: float, num_actors: int) -> float:
    # In steps that Ray adds up exactly; small nodes have room for nothing, but need actors.
    return max(0.01, math.floor(100 * cpus / num_actors) / 100)


def format_forecasts(measured: Measured, node: Node, forecasts: Sequence[Forecast]) -> str:
    """A table for a person: what was measured, then a line for each number of nodes."""
    share = measured.num_faces / measured.num_photos
    lines = [
        f"{measured.num_photos} photos measured, {share:.0%} of them became pairs; "
        f"nodes of {node.cpus:g} cores and {node.gpus:g} GPUs",
        "",
        f"{'a photo takes':16s} {'ms of CPU':>10s} {'ms in its stage':>16s}",
    ]
    lines += [
        f"{stage:16s} {1000 * cpu_s:10.1f} {1000 * measured.busy_s[stage]:16.1f}"
        for stage, cpu_s in measured.cpu_s.items()
    ]
    lines += [
        "",
        f"start {measured.start_s:.0f} s; Ray alone, without work: "
        f"{measured.engine_rate:.0f} photos a second",
        "",
        f"{'nodes':>5s} {'photos/s':>9s} {'hours':>8s} {'node-hours':>11s}  "
        f"{'held back by':14s} {'readers':>8s} {'networks':>9s} {'renderers':>10s}",
    ]
    lines += [
        f"{row.num_nodes:5d} {row.rate:9.1f} {row.hours:8.2f} {row.node_hours:11.2f}  "
        f"{row.held_back_by:14s} {row.pools.num_readers:8d} "
        f"{row.pools.num_reconstruct_actors:9d} {row.pools.num_render_actors:10d}"
        for row in forecasts
    ]
    return "\n".join(lines)
