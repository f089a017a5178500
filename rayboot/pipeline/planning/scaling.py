"""How a run scales: its blocks followed on each number of nodes, and the tables of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rayboot.pipeline.blocks import ROWS_PER_BLOCK, WRITE_CPUS
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Forecast, Node, forecast
from rayboot.pipeline.planning.limits import (
    Input,
    count_seconds,
    find_limits,
    format_count,
    format_limits,
    listing_seconds,
)
from rayboot.pipeline.planning.simulation import SimulatedRun, Station, simulate

__all__ = ["ScalingEstimate", "estimate", "format_efficiency", "format_estimates", "format_scaling"]

_DRIVER = "Ray's driver"
_NAMES = {"cores": "processors", "read": "reading", "turn": "processors", "write": "writing"}


class ScalingEstimate(NamedTuple):
    """A run on so many nodes, followed from start to end.

    Attributes:
        forecast: what it could do at most, and its pools.
        seconds: of the run: listing, start, work, and counting what was written.
        photos_a_second: over all of them.
        efficiency: that, over as many times what one node does.
        bottleneck: what is busiest, or ``the start`` where most of the time is start and end.
    """

    forecast: Forecast
    seconds: float
    photos_a_second: float
    efficiency: float
    bottleneck: str

    def hours(self) -> float:
        """Of the run."""
        return self.seconds / 3600


def estimate(
    measured: Calibration, photos: Input, node: Node, num_nodes: Sequence[int], pools: PoolConfig
) -> list[ScalingEstimate]:
    """What runs on so many nodes will do.

    Args:
        measured: on one node of the kind.
        photos: the input.
        node: each of them.
        num_nodes: of each run.
        pools: of the config; what is not a number of actors or their size is kept.
    """
    alone = _follow(measured, photos, node, 1, pools)
    runs = [alone if n == 1 else _follow(measured, photos, node, n, pools) for n in num_nodes]
    return [
        run._replace(efficiency=run.photos_a_second / n / alone.photos_a_second)
        for n, run in zip(num_nodes, runs, strict=True)
    ]


def _follow(
    measured: Calibration, photos: Input, node: Node, num_nodes: int, pools: PoolConfig
) -> ScalingEstimate:
    most = forecast(measured, photos.num_photos, node, num_nodes, pools)
    cores = num_nodes * node.cpus
    num_rows = min(most.rows_per_block, photos.num_photos)
    num_blocks = -(-photos.num_photos // num_rows)
    run = simulate(_stations(measured, most.pools, num_rows, cores), cores, num_blocks)
    with_rejects = measured.num_faces < measured.num_photos
    around_s = (
        listing_seconds(photos)
        + measured.start_s
        + count_seconds(num_blocks, with_rejects, measured.count_s, photos.in_store, cores)
    )
    seconds = around_s + run.seconds
    bottleneck = "the start" if around_s > run.seconds else _busiest(run, measured.on_gpu)
    return ScalingEstimate(most, seconds, photos.num_photos / seconds, 1.0, bottleneck)


def _stations(
    measured: Calibration, pools: PoolConfig, num_rows: int, cores: float
) -> tuple[Station, ...]:
    """The line of a run; the driver has a machine of its own, or is small beside the rest."""
    cpu_s, busy_s = measured.cpu_s, measured.busy_s
    actors = {
        "read": pools.num_readers,
        "reconstruct": pools.num_reconstruct_actors,
        "turn": pools.num_render_actors,
    }
    # What waits for a store or a GPU is kept longer than it computes.
    waits = {"read": True, "reconstruct": measured.on_gpu, "turn": False}
    stages = [
        Station(
            name,
            count,
            num_rows * (busy_s[name] if waits[name] else cpu_s[name]),
            cpu_s[name] / busy_s[name] if waits[name] else 1.0,
        )
        for name, count in actors.items()
    ]
    write_s = measured.write_block_s(num_rows)
    write_cpu_s = measured.write_cpu_s * num_rows / ROWS_PER_BLOCK
    free_cpus = max(2.0, cores - pools.total_cpus())
    writers = int((free_cpus - 1) / WRITE_CPUS)
    writing = Station("write", writers, write_s, min(1.0, write_cpu_s / write_s))
    return (Station(_DRIVER, 1, measured.block_s(), 0.0), *stages, writing)


def _busiest(run: SimulatedRun, on_gpu: bool) -> str:
    names: Mapping[str, str] = {**_NAMES, "reconstruct": "GPUs" if on_gpu else "processors"}
    name = max(run.busy, key=lambda station: run.busy[station])
    return names.get(name, name)


def format_estimates(measured: Calibration, node: Node, outlooks: Sequence[ScalingEstimate]) -> str:
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
        f"start {measured.start_s:.0f} s; Ray alone, without work: {measured.engine_rate:.0f} "
        f"photos a second in blocks of {ROWS_PER_BLOCK}; a block is written in "
        f"{measured.write_s:.2g} s",
        "",
        f"{'nodes':>5s} {'photos/s':>9s} {'efficiency':>10s} {'hours':>8s} {'node-hours':>11s}  "
        f"{'held back by':14s} {'readers':>8s} {'networks':>9s} {'renderers':>10s}",
    ]
    for row in outlooks:
        num_nodes, pools = row.forecast.num_nodes, row.forecast.pools
        lines.append(
            f"{num_nodes:5d} {row.photos_a_second:9.1f} {row.efficiency:10.0%} "
            f"{row.hours():8.2f} {num_nodes * row.hours():11.2f}  {row.bottleneck:14s} "
            f"{pools.num_readers:8d} {pools.num_reconstruct_actors:9d} "
            f"{pools.num_render_actors:10d}"
        )
    return "\n".join(lines)


def format_efficiency(by_size: Mapping[int, Sequence[ScalingEstimate]]) -> str:
    """Efficiency and hours, a line for each number of nodes, a column for each of photos."""
    sizes = "".join(f"{format_count(size) + ' photos':>22s}" for size in by_size)
    lines = [f"efficiency (hours){'':2s}{sizes}"]
    for rows in zip(*by_size.values(), strict=True):
        cells = "".join(f"{_share_and_time(row):>22s}" for row in rows)
        lines.append(f"{rows[0].forecast.num_nodes:5d} nodes{'':9s}{cells}")
    return "\n".join(lines)


def _share_and_time(row: ScalingEstimate) -> str:
    hours = row.hours()
    return (
        f"{row.efficiency:.0%} ({hours:.0f} h)"
        if hours >= 10
        else f"{row.efficiency:.0%} ({hours:.2f} h)"
    )


def format_scaling(
    measured: Calibration,
    photos: Input,
    node: Node,
    num_nodes: Sequence[int],
    pools: PoolConfig,
    sizes: Sequence[int],
) -> str:
    """For a person: efficiency by nodes and photos, and what breaks first.

    Args:
        measured: on one node of the kind.
        photos: the input.
        node: each of them.
        num_nodes: of each run.
        pools: of the config.
        sizes: numbers of photos, of inputs that are like this one.
    """
    by_size = {
        size: estimate(measured, photos._replace(num_photos=size), node, num_nodes, pools)
        for size in sizes
    }
    most = max(num_nodes)

    def table_to_rows(count: int) -> int:
        return forecast(measured, count, node, most, pools).rows_per_block

    with_rejects = measured.num_faces < measured.num_photos
    limits = find_limits(photos, table_to_rows, measured.count_s, with_rejects, most * node.cpus)
    return f"{format_efficiency(by_size)}\n\n{format_limits(limits, photos.num_photos)}"
