"""What so many nodes can do at most, and the pools that carry it: from measured times."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from rayboot.pipeline.blocks import ROWS_PER_BLOCK, WRITE_CPUS, most_actors, rows_per_block
from rayboot.pipeline.generate_config import PoolConfig

__all__ = ["Calibration", "Forecast", "Node", "forecast", "suggest_pools"]

_FREE_CPUS = 2.0
"""That must stay outside the pools, see :func:`rayboot.cluster.resources.require_resources`."""

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


class Calibration(NamedTuple):
    """What a sample of photos took.

    Attributes:
        num_photos: of the sample.
        num_faces: of them.
        cpu_s: processor time a photo by stage, rejects counted in.
        busy_s: time a photo keeps an actor, likewise.
        on_gpu: whether the network runs on one.
        start_s: from the start to the first finished photos.
        engine_rate: photos a second that pass through stages that do nothing, in blocks of
            :data:`~rayboot.pipeline.blocks.ROWS_PER_BLOCK`.
        write_s: from the first to the last request that writes such a block.
        write_cpu_s: processor time of it.
        count_s: to ask a written file how many rows of which kind it holds.
        shape: (D, H, W) of the network's volume.
    """

    num_photos: int
    num_faces: int
    cpu_s: Mapping[str, float]
    busy_s: Mapping[str, float]
    on_gpu: bool
    start_s: float
    engine_rate: float
    write_s: float
    write_cpu_s: float
    count_s: float
    shape: tuple[int, int, int]

    def block_s(self) -> float:
        """Time a block takes Ray, whatever it holds."""
        return ROWS_PER_BLOCK / self.engine_rate

    def write_block_s(self, num_rows: int) -> float:
        """Time a block of so many rows takes a writer."""
        return self.write_s + self.write_cpu_s * (num_rows / ROWS_PER_BLOCK - 1)


class Forecast(NamedTuple):
    """A whole input on ``num_nodes`` alike nodes.

    Attributes:
        num_nodes: how many.
        rate: photos a second once all actors run.
        hours: start included.
        node_hours: times nodes.
        bottleneck: ``processors``, ``GPUs``, ``Ray's driver`` or ``the start``.
        pools: that keep the scarcest busy.
        rows_per_block: of the run.
    """

    num_nodes: int
    rate: float
    hours: float
    node_hours: float
    bottleneck: str
    pools: PoolConfig
    rows_per_block: int


def forecast(
    measured: Calibration, num_photos: int, node: Node, num_nodes: int, pools: PoolConfig
) -> Forecast:
    """What a run on that many nodes can do at most.

    :func:`rayboot.pipeline.planning.scaling.estimate` follows its blocks instead, which takes longer.

    Args:
        measured: on one node of the kind.
        num_photos: of the whole input.
        node: each of them.
        num_nodes: how many.
        pools: of the config; what is not a number of actors or their size is kept.
    """
    num_rows = ROWS_PER_BLOCK
    rate, bottleneck = _most(measured, node, num_nodes, num_rows)
    suggested = suggest_pools(measured, rate, node, num_nodes, pools, num_rows)
    # More actors make larger blocks, with which the driver keeps more actors busy; but no more
    # than the photos have such blocks for.
    while rows_per_block(num_photos, suggested, measured.shape) > num_rows:
        larger = 2 * num_rows
        most, limit = _most(measured, node, num_nodes, larger)
        most = min(most, most_actors(num_photos, larger) / measured.cpu_s["turn"])
        more = suggest_pools(measured, most, node, num_nodes, pools, larger)
        if most < rate or rows_per_block(num_photos, more, measured.shape) < larger:
            break
        num_rows, rate, bottleneck, suggested = larger, most, limit, more
    work_s = num_photos / rate
    if measured.start_s > work_s:
        bottleneck = "the start"
    hours = (measured.start_s + work_s) / 3600
    return Forecast(num_nodes, rate, hours, num_nodes * hours, bottleneck, suggested, num_rows)


def _most(measured: Calibration, node: Node, num_nodes: int, num_rows: int) -> tuple[float, str]:
    """Photos a second in blocks of ``num_rows``, and what allows no more."""
    limits = {
        "processors": num_nodes * node.cpus / sum(measured.cpu_s.values()),
        "Ray's driver": measured.engine_rate * num_rows / ROWS_PER_BLOCK,
    }
    if measured.on_gpu:
        limits["GPUs"] = num_nodes * node.gpus / measured.busy_s["reconstruct"]
    bottleneck = min(limits, key=lambda name: limits[name])
    return limits[bottleneck], bottleneck


def suggest_pools(
    measured: Calibration,
    rate: float,
    node: Node,
    num_nodes: int,
    pools: PoolConfig,
    num_rows: int = ROWS_PER_BLOCK,
) -> PoolConfig:
    """Pools for ``rate`` photos a second on that many nodes, in blocks of ``num_rows``.

    Actors of one thread each; where they are more than cores, the cores take turns.
    """
    # Each block that is being written holds its share of a CPU, and reading the listing another.
    num_writers = _HEADROOM * rate / num_rows * measured.write_block_s(num_rows)
    wanted = 1 + math.ceil(num_writers * WRITE_CPUS)
    free_cpus = max(_FREE_CPUS, min(wanted, num_nodes * node.cpus / 2))
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
    room = num_nodes * node.cpus - free_cpus
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
