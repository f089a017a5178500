"""Scaling of a run: its simulation on each number of nodes, and tables of the results."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rayboot.counts import describe_count
from rayboot.pipeline.blocks import ROWS_PER_BLOCK, WRITE_CPUS
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Capacity, Node, compute_capacity
from rayboot.pipeline.planning.limits import (
    InputSpec,
    compute_limits,
    estimate_counting_s,
    estimate_listing_s,
    format_count,
    format_limits,
)
from rayboot.pipeline.planning.simulation import SimulatedRun, Station, simulate

__all__ = ["ScalingEstimate", "estimate", "format_efficiency", "format_estimates", "format_scaling"]

_DRIVER = "Ray's driver"
_RESOURCE_NAMES = {
    "cores": "processors",
    "read": "reading",
    "turn": "processors",
    "write": "writing",
}


class ScalingEstimate(NamedTuple):
    """Estimate of a run on a number of nodes, simulated from start to end.

    Attributes:
        capacity: upper bound on the throughput, and the pools that are simulated.
        seconds: duration of the run: listing, start, work, and counting the output.
        photos_per_s: photos per second over that duration.
        efficiency: ``photos_per_s`` as a fraction of the number of nodes times what one node
            reaches.
        bottleneck: the busiest resource, or ``the start`` where start and end take most of the
            time.
    """

    capacity: Capacity
    seconds: float
    photos_per_s: float
    efficiency: float
    bottleneck: str

    def hours(self) -> float:
        """Returns the duration of the run in hours."""
        return self.seconds / 3600


def estimate(
    calibration: Calibration,
    photos: InputSpec,
    node: Node,
    num_nodes: Sequence[int],
    pools: PoolConfig,
) -> list[ScalingEstimate]:
    """Estimates runs on several numbers of nodes.

    Args:
        calibration: times measured on one node of this size.
        photos: the input.
        node: size of each node.
        num_nodes: number of nodes of each run.
        pools: pools of the config; settings other than the number and size of actors are kept.
    """
    one_node = _estimate_run(calibration, photos, node, 1, pools)
    runs = [
        one_node if n == 1 else _estimate_run(calibration, photos, node, n, pools)
        for n in num_nodes
    ]
    return [
        run._replace(efficiency=run.photos_per_s / n / one_node.photos_per_s)
        for n, run in zip(num_nodes, runs, strict=True)
    ]


def _estimate_run(
    calibration: Calibration, photos: InputSpec, node: Node, num_nodes: int, pools: PoolConfig
) -> ScalingEstimate:
    """Estimates one run; its efficiency is left at 1."""
    capacity = compute_capacity(calibration, photos.num_photos, node, num_nodes, pools)
    cores = num_nodes * node.cpus
    num_rows = min(capacity.rows_per_block, photos.num_photos)
    num_blocks = -(-photos.num_photos // num_rows)
    stations = _build_stations(calibration, capacity.pools, num_rows, cores)
    run = simulate(stations, cores, num_blocks)
    with_rejects = calibration.num_faces < calibration.num_photos
    start_and_end_s = (
        estimate_listing_s(photos)
        + calibration.start_s
        + estimate_counting_s(
            num_blocks, with_rejects, calibration.count_s, photos.in_object_store, cores
        )
    )
    seconds = start_and_end_s + run.seconds
    bottleneck = (
        "the start" if start_and_end_s > run.seconds else _busiest_resource(run, calibration.on_gpu)
    )
    return ScalingEstimate(capacity, seconds, photos.num_photos / seconds, 1.0, bottleneck)


def _build_stations(
    calibration: Calibration, pools: PoolConfig, num_rows: int, cores: float
) -> tuple[Station, ...]:
    """Returns the stations of a run in order.

    The driver takes none of the cores: it has a machine of its own, or its work is small
    compared with the rest.
    """
    cpu_s, busy_s = calibration.cpu_s, calibration.busy_s
    actors = {
        "read": pools.num_readers,
        "reconstruct": pools.num_reconstruct_actors,
        "turn": pools.num_render_actors,
    }
    # An actor that waits for a store or a GPU is occupied longer than it computes.
    waits = {"read": True, "reconstruct": calibration.on_gpu, "turn": False}
    stages = [
        Station(
            name,
            count,
            num_rows * (busy_s[name] if waits[name] else cpu_s[name]),
            cpu_s[name] / busy_s[name] if waits[name] else 1.0,
        )
        for name, count in actors.items()
    ]
    write_s = calibration.write_block_s(num_rows)
    write_cpu_s = calibration.write_cpu_s * num_rows / ROWS_PER_BLOCK
    free_cpus = max(2.0, cores - pools.total_cpus())
    num_writers = int((free_cpus - 1) / WRITE_CPUS)
    write = Station("write", num_writers, write_s, min(1.0, write_cpu_s / write_s))
    return (Station(_DRIVER, 1, calibration.block_s(), 0.0), *stages, write)


def _busiest_resource(run: SimulatedRun, on_gpu: bool) -> str:
    names: Mapping[str, str] = {
        **_RESOURCE_NAMES,
        "reconstruct": "GPUs" if on_gpu else "processors",
    }
    name = max(run.utilization, key=lambda station: run.utilization[station])
    return names.get(name, name)


def format_estimates(
    calibration: Calibration, node: Node, estimates: Sequence[ScalingEstimate]
) -> str:
    """Formats the calibration, and a table with one line for each number of nodes."""
    face_fraction = calibration.num_faces / calibration.num_photos
    lines = [
        f"{describe_count(calibration.num_photos, 'photo')} measured, "
        f"{face_fraction:.0%} of them became pairs; "
        f"nodes of {node.cpus:g} cores and {node.gpus:g} GPUs",
        "",
        f"{'stage':16s} {'CPU ms/photo':>12s} {'busy ms/photo':>14s}",
    ]
    lines += [
        f"{stage:16s} {1000 * cpu_s:12.1f} {1000 * calibration.busy_s[stage]:14.1f}"
        for stage, cpu_s in calibration.cpu_s.items()
    ]
    lines += [
        "",
        f"start {calibration.start_s:.0f} s; Ray Data with stages that do nothing: "
        f"{calibration.engine_rate:.0f} photos per second in blocks of {ROWS_PER_BLOCK}; "
        f"writing a block: {calibration.write_s:.2g} s",
        "",
        f"{'nodes':>5s} {'photos/s':>9s} {'efficiency':>10s} {'hours':>8s} {'node-hours':>11s}  "
        f"{'bottleneck':14s} {'readers':>8s} {'networks':>9s} {'renderers':>10s}",
    ]
    for run in estimates:
        num_nodes, pools = run.capacity.num_nodes, run.capacity.pools
        lines.append(
            f"{num_nodes:5d} {run.photos_per_s:9.1f} {run.efficiency:10.0%} "
            f"{run.hours():8.2f} {num_nodes * run.hours():11.2f}  {run.bottleneck:14s} "
            f"{pools.num_readers:8d} {pools.num_reconstruct_actors:9d} "
            f"{pools.num_render_actors:10d}"
        )
    return "\n".join(lines)


def format_efficiency(by_size: Mapping[int, Sequence[ScalingEstimate]]) -> str:
    """Formats efficiency and hours: one line per number of nodes, one column per input size.

    Args:
        by_size: estimates by the number of photos, each for the same numbers of nodes.
    """
    sizes = "".join(f"{format_count(size) + ' photos':>22s}" for size in by_size)
    lines = [f"efficiency (hours){'':2s}{sizes}"]
    for runs in zip(*by_size.values(), strict=True):
        cells = "".join(f"{_format_cell(run):>22s}" for run in runs)
        lines.append(f"{runs[0].capacity.num_nodes:5d} nodes{'':9s}{cells}")
    return "\n".join(lines)


def _format_cell(run: ScalingEstimate) -> str:
    hours = run.hours()
    return (
        f"{run.efficiency:.0%} ({hours:.0f} h)"
        if hours >= 10
        else f"{run.efficiency:.0%} ({hours:.2f} h)"
    )


def format_scaling(
    calibration: Calibration,
    photos: InputSpec,
    node: Node,
    num_nodes: Sequence[int],
    pools: PoolConfig,
    sizes: Sequence[int],
) -> str:
    """Formats the efficiency by nodes and photos, and the limits on the number of photos.

    Args:
        calibration: times measured on one node of this size.
        photos: the input.
        node: size of each node.
        num_nodes: number of nodes of each run.
        pools: pools of the config.
        sizes: numbers of photos of further inputs, otherwise equal to this one.
    """
    by_size = {
        size: estimate(calibration, photos._replace(num_photos=size), node, num_nodes, pools)
        for size in sizes
    }
    max_nodes = max(num_nodes)

    def rows_per_block(num_photos: int) -> int:
        return compute_capacity(calibration, num_photos, node, max_nodes, pools).rows_per_block

    with_rejects = calibration.num_faces < calibration.num_photos
    cores = max_nodes * node.cpus
    limits = compute_limits(photos, rows_per_block, calibration.count_s, with_rejects, cores)
    return f"{format_efficiency(by_size)}\n\n{format_limits(limits, photos.num_photos)}"
