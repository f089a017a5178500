"""Capacity of a cluster: maximum throughput from measured times, and the pools that reach it."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from rayboot.pipeline.blocks import (
    ROWS_PER_BLOCK,
    WRITE_CPUS,
    max_render_actors,
    rows_per_block,
)
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.storage import StorageSizes

__all__ = ["Calibration", "Capacity", "Node", "compute_capacity", "suggest_pools"]

_MIN_FREE_CPUS = 2.0
"""CPUs that must remain outside the pools, see
:func:`rayboot.cluster.resources.require_resources`."""

_HEADROOM = 1.2
"""Factor on the size of pools that shall not become the bottleneck."""


class Node(NamedTuple):
    """Size of a machine of the cluster.

    Attributes:
        cpus: number of cores.
        gpus: number of GPUs.
    """

    cpus: float
    gpus: float = 0.0


class Calibration(NamedTuple):
    """Times measured for a sample of photos.

    Attributes:
        num_photos: number of photos in the sample.
        num_faces: number of faces among them; the others became rejects.
        cpu_s: processor time per photo by stage; rejects count as photos.
        busy_s: time for which a photo occupies an actor, by stage; likewise.
        on_gpu: whether the network ran on a GPU.
        start_s: time from the start of the run to the first finished photos.
        engine_rate: photos per second that pass stages that do nothing, in blocks of
            :data:`~rayboot.pipeline.blocks.ROWS_PER_BLOCK`.
        write_s: time from the first to the last request that writes such a block.
        write_cpu_s: processor time that writes such a block.
        count_s: time to count the rows of a written file by their kind.
        shape: (D, H, W) of the network's volume.
        storage: bytes of what runs write; None where they were not measured.
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
    storage: StorageSizes | None = None

    def block_s(self) -> float:
        """Returns the time that Ray's driver needs for a block, whatever it contains."""
        return ROWS_PER_BLOCK / self.engine_rate

    def write_block_s(self, num_rows: int) -> float:
        """Returns the time that a task needs to write a block of ``num_rows``."""
        return self.write_s + self.write_cpu_s * (num_rows / ROWS_PER_BLOCK - 1)


class Capacity(NamedTuple):
    """Upper bound on the throughput of a run on ``num_nodes`` equal nodes.

    Attributes:
        num_nodes: number of nodes.
        photos_per_s: photos per second once all actors run.
        hours: duration of the run, its start included.
        node_hours: ``hours`` times ``num_nodes``.
        bottleneck: ``processors``, ``GPUs``, ``Ray's driver`` or ``the start``.
        pools: pools that keep the scarcest resource busy.
        rows_per_block: number of rows of a block.
    """

    num_nodes: int
    photos_per_s: float
    hours: float
    node_hours: float
    bottleneck: str
    pools: PoolConfig
    rows_per_block: int


def compute_capacity(
    calibration: Calibration, num_photos: int, node: Node, num_nodes: int, pools: PoolConfig
) -> Capacity:
    """Returns the maximum throughput of a run on ``num_nodes`` nodes, from rates alone.

    :func:`rayboot.pipeline.planning.scaling.estimate` simulates the blocks of the run instead,
    which gives a longer duration.

    Args:
        calibration: times measured on one node of this size.
        num_photos: number of photos of the whole input.
        node: size of each node.
        num_nodes: number of nodes.
        pools: pools of the config; settings other than the number and size of actors are kept.
    """
    num_rows = ROWS_PER_BLOCK
    rate, bottleneck = _max_rate(calibration, node, num_nodes, num_rows)
    suggested = suggest_pools(calibration, rate, node, num_nodes, pools, num_rows)
    # More actors make blocks larger, and with larger blocks the driver keeps more actors busy;
    # but the photos must suffice for enough blocks of that size.
    while rows_per_block(num_photos, suggested, calibration.shape) > num_rows:
        larger = 2 * num_rows
        larger_rate, larger_bottleneck = _max_rate(calibration, node, num_nodes, larger)
        larger_rate = min(
            larger_rate, max_render_actors(num_photos, larger) / calibration.cpu_s["turn"]
        )
        larger_pools = suggest_pools(calibration, larger_rate, node, num_nodes, pools, larger)
        if (
            larger_rate < rate
            or rows_per_block(num_photos, larger_pools, calibration.shape) < larger
        ):
            break
        num_rows, rate, bottleneck, suggested = (
            larger,
            larger_rate,
            larger_bottleneck,
            larger_pools,
        )
    work_s = num_photos / rate
    if calibration.start_s > work_s:
        bottleneck = "the start"
    hours = (calibration.start_s + work_s) / 3600
    return Capacity(num_nodes, rate, hours, num_nodes * hours, bottleneck, suggested, num_rows)


def _max_rate(
    calibration: Calibration, node: Node, num_nodes: int, num_rows: int
) -> tuple[float, str]:
    """Returns the photos per second in blocks of ``num_rows``, and the limiting resource."""
    rates = {
        "processors": num_nodes * node.cpus / sum(calibration.cpu_s.values()),
        "Ray's driver": calibration.engine_rate * num_rows / ROWS_PER_BLOCK,
    }
    if calibration.on_gpu:
        rates["GPUs"] = num_nodes * node.gpus / calibration.busy_s["reconstruct"]
    bottleneck = min(rates, key=lambda name: rates[name])
    return rates[bottleneck], bottleneck


def suggest_pools(
    calibration: Calibration,
    rate: float,
    node: Node,
    num_nodes: int,
    pools: PoolConfig,
    num_rows: int = ROWS_PER_BLOCK,
) -> PoolConfig:
    """Returns pools for a throughput of ``rate`` photos per second, in blocks of ``num_rows``.

    Actors have one thread each; more actors than cores share the cores in turn.

    Args:
        calibration: times measured on one node of this size.
        rate: photos per second that the pools shall reach.
        node: size of each node.
        num_nodes: number of nodes.
        pools: pools of the config; settings other than the number and size of actors are kept.
        num_rows: number of rows of a block.
    """
    # Each task that writes a block holds a fraction of a CPU, and reading the listing holds one.
    num_writers = _HEADROOM * rate / num_rows * calibration.write_block_s(num_rows)
    io_cpus = 1 + math.ceil(num_writers * WRITE_CPUS)
    free_cpus = max(_MIN_FREE_CPUS, min(io_cpus, num_nodes * node.cpus / 2))
    # A reader waits for the store most of the time: its busy time counts, not its CPU time.
    num_readers = max(1, math.ceil(_HEADROOM * rate * calibration.busy_s["read"]))
    num_render = max(1, math.ceil(rate * calibration.cpu_s["turn"]))
    if calibration.on_gpu:
        # Renderers that hold fractions of the GPUs leave less to the networks, but at least one.
        gpus = num_nodes * node.gpus
        if pools.render_gpus:
            max_render = _floor_quotient((gpus - pools.reconstruct_gpus) / pools.render_gpus)
            num_render = max(1, min(num_render, max_render))
        free_gpus = gpus - num_render * pools.render_gpus
        num_reconstruct = max(1, _floor_quotient(free_gpus / pools.reconstruct_gpus))
    else:
        num_reconstruct = max(1, math.ceil(rate * calibration.cpu_s["reconstruct"]))
    pool_cpus = num_nodes * node.cpus - free_cpus
    reader_cpus = min(pools.reader_cpus, _cpus_per_actor(pool_cpus / 4, num_readers))
    remaining_cpus = pool_cpus - num_readers * reader_cpus
    cpus = min(0.9, _cpus_per_actor(remaining_cpus, num_render + num_reconstruct))
    return pools.replace(
        num_readers=num_readers,
        reader_cpus=reader_cpus,
        num_reconstruct_actors=num_reconstruct,
        reconstruct_cpus=cpus,
        num_render_actors=num_render,
        render_cpus=cpus,
    )


def _floor_quotient(quotient: float) -> int:
    # Fractions such as 0.1 do not divide exactly.
    return math.floor(quotient + 1e-6)


def _cpus_per_actor(cpus: float, num_actors: int) -> float:
    # Hundredths, which Ray adds up exactly. On a small node no CPU may be left, but its actors
    # still need more than 0.
    return max(0.01, math.floor(100 * cpus / num_actors) / 100)
