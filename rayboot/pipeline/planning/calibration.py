"""Calibration: a few hundred photos run through the real stages to measure their cost."""

import posixpath
import statistics
import time
import uuid
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.actor import ActorHandle
from ray.data import Dataset

from rayboot.cluster.progress import spawn_on_driver_node
from rayboot.cluster.progress_bar import show_progress
from rayboot.cluster.resources import find_largest_nodes
from rayboot.cluster.session import connect
from rayboot.data.subsets import evenly_spaced
from rayboot.errors import RequestError
from rayboot.io.parquet import read_table
from rayboot.io.storage import (
    arrow_filesystem,
    join_uri,
    list_files,
    remove,
    scratch_folder,
)
from rayboot.pipeline.actor import (
    StageStats,
    map_with_actor_pool,
    read_progress,
    read_snapshot,
)
from rayboot.pipeline.actor_limits import require_actors
from rayboot.pipeline.blocks import ROWS_PER_BLOCK, cut_into_blocks
from rayboot.pipeline.checkpoint import without_progress_bars
from rayboot.pipeline.generate import generate_stages
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.pipeline.generate_summary import summarize
from rayboot.pipeline.graph import build_graph
from rayboot.pipeline.in_process_executor import write_block
from rayboot.pipeline.output_layout import LISTING
from rayboot.pipeline.planning.capacity import Calibration, Node, compute_capacity
from rayboot.pipeline.planning.limits import InputSpec
from rayboot.pipeline.planning.storage import measure_storage

__all__ = ["CalibratedInput", "calibrate", "calibrate_input", "map_identity_stages"]

_NUM_SAMPLE_COPIES = 32
"""Number of copies of the sample that pass the identity stages, which are fast."""


class CalibratedInput(NamedTuple):
    """An input with everything that an estimate of its run requires.

    Attributes:
        photos: number and storage of the photos.
        node: largest node of the cluster that Ray is connected to.
        calibration: times measured for a sample of the photos on such nodes.
    """

    photos: InputSpec
    node: Node
    calibration: Calibration


def calibrate_input(config: GenerateConfig) -> CalibratedInput:
    """Lists an input and measures a sample of it; the temporary output is removed.

    Raises:
        RequestError: see :func:`rayboot.pipeline.generate_request.prepare_generate`.
    """
    with scratch_folder(config.output) as folder:
        plan = prepare_generate(config.replace(output=folder))
        with connect():
            # Waits for the nodes of a cluster that starts them on demand: until then there is
            # none to measure.
            require_actors(generate_stages(plan))
            cpus, gpus, num_nodes = find_largest_nodes()
            node = Node(cpus, gpus)
            calibration = calibrate(plan, node, num_nodes)
        source_uri = _sample_photos(plan, 1)["source_uri"][0].as_py()
    photos = InputSpec(
        plan.num_photos, source_uri.endswith((".parquet", ".tar")), "://" in source_uri
    )
    return CalibratedInput(photos, node, calibration)


def calibrate(
    plan: GeneratePlan, node: Node, num_nodes: int = 1, num_photos: int = 256
) -> Calibration:
    """Runs the stages of a plan on photos spread evenly over its input, and measures them.

    All pools work at the same time, as in a run, since they compete for cache and memory
    bandwidth. The pools that a run would have are derived from a first, smaller sample.

    Args:
        plan: the run to calibrate; everything written to its output is removed.
        node: size of a node of the cluster that Ray is connected to.
        num_nodes: number of nodes of the cluster.
        num_photos: number of photos in the sample.

    Raises:
        RequestError: the input has no photos but duplicates.
    """
    rough, _ = _measure(plan, max(1, num_photos // 4))
    pools = compute_capacity(rough, plan.num_photos, node, num_nodes, plan.config.pools).pools
    planned = plan._replace(config=plan.config.replace(pools=pools))
    calibration, rows = _measure(planned, num_photos)
    write_s, write_cpu_s, count_s = _time_writing(plan.output, rows.slice(0, ROWS_PER_BLOCK))
    return calibration._replace(
        engine_rate=_measure_engine_rate(plan, num_photos),
        write_s=write_s,
        write_cpu_s=write_cpu_s,
        count_s=count_s,
        storage=measure_storage(rows, plan.output, plan.weights),
    )


def _measure(plan: GeneratePlan, num_photos: int) -> tuple[Calibration, pa.Table]:
    """Returns the cost of the stages, and their output."""
    pools = plan.config.pools
    stages = require_actors(generate_stages(plan))
    photos = _sample_photos(plan, num_photos)
    stats: ActorHandle[StageStats] = spawn_on_driver_node(StageStats)
    last_stage = stages[-1].name
    listing = cut_into_blocks(ray.data.from_arrow(photos), ROWS_PER_BLOCK, pools.reader_cpus)
    with (
        without_progress_bars(),
        show_progress(
            "sample", "photo", lambda: read_progress(stats, last_stage), total=len(photos)
        ),
    ):
        rows = build_graph(listing, stages, stats)
        output = pa.concat_tables(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
    snapshot = read_snapshot(stats)
    usage_by_stage = snapshot.lasting_usage()
    ray.kill(stats)
    calibration = Calibration(
        num_photos=len(photos),
        num_faces=pc.sum(pc.equal(output["outcome"], "face")).as_py(),
        cpu_s={name: usage.cpu_s / usage.rows for name, usage in usage_by_stage.items()},
        busy_s={name: usage.busy_s / usage.rows for name, usage in usage_by_stage.items()},
        on_gpu=pools.reconstruct_gpus > 0,
        start_s=snapshot.first_batch_s[last_stage],
        engine_rate=float("inf"),
        write_s=0.0,
        write_cpu_s=0.0,
        count_s=0.0,
        shape=plan.volume_shape(),
    )
    return calibration, output


def _time_writing(output: str, block: pa.Table, num_repeats: int = 5) -> tuple[float, float, float]:
    """Measures how long a block takes to be written and counted.

    Returns:
        The median seconds to write a block as Ray Data does, the median processor time of it,
        and the seconds to count the written rows.
    """
    folder = join_uri(output, f"_run/trial-{uuid.uuid4().hex[:8]}")
    filesystem, path = arrow_filesystem(folder)
    # A short sample has fewer rows than a block; they are repeated to fill it.
    full = pa.concat_tables([block] * -(-ROWS_PER_BLOCK // len(block))).slice(0, ROWS_PER_BLOCK)
    times: list[tuple[float, float]] = []
    try:
        for index in range(num_repeats):
            started, cpu_before = time.perf_counter(), time.process_time()
            checkpoint = posixpath.join(path, "checkpoint")
            write_block(full, filesystem, path, checkpoint, f"{index}", ["outcome"])
            times.append((time.perf_counter() - started, time.process_time() - cpu_before))
        started = time.perf_counter()
        summarize(folder)
        # These files are read concurrently, so this is the time of the slowest one.
        count_s = time.perf_counter() - started
    finally:
        for name in list_files(folder):
            remove(join_uri(folder, name))
    seconds, cpu_s = (statistics.median(values) for values in zip(*times, strict=True))
    return seconds, min(seconds, cpu_s), count_s


def _sample_photos(plan: GeneratePlan, count: int) -> pa.Table:
    listing = read_table(join_uri(plan.output, LISTING))
    # Duplicates cost nothing, so a sample must not contain them.
    photos = listing.filter(pc.is_null(listing["duplicate_of"]))
    if len(photos) == 0:
        raise RequestError(
            f"input {plan.config.input}: expected at least one photo to measure, but all "
            f"{len(listing)} listed photos are duplicates"
        )
    return photos.take(evenly_spaced(len(photos), count))


def _measure_engine_rate(plan: GeneratePlan, num_photos: int) -> float:
    """Returns the rows per second that Ray Data moves through stages that do nothing.

    Stages, blocks and batches are as many and as large as those of a run.
    """
    table = pa.concat_tables([_sample_photos(plan, num_photos)] * _NUM_SAMPLE_COPIES)
    with without_progress_bars():
        batch_size = plan.config.pools.batch_size
        rows = map_identity_stages(ray.data.from_arrow(table), ROWS_PER_BLOCK, batch_size)
        first_at, num_rows = None, 0
        for bundle in rows.iter_internal_ref_bundles():
            if first_at is None:
                first_at = time.monotonic()
            else:
                num_rows += bundle.num_rows() or 0
    return num_rows / (time.monotonic() - (first_at or 0.0))


def map_identity_stages(listing: Dataset, num_rows: int, batch_size: int) -> Dataset:
    """Maps rows with as many actor pools as a run has; the stages return them unchanged.

    Args:
        listing: rows of any schema.
        num_rows: number of rows of a block.
        batch_size: number of rows in one call of an actor.
    """
    stats: Any = ray.remote(num_cpus=0)(StageStats).remote()
    rows = cut_into_blocks(listing, num_rows, 0.1)
    for name in ("first", "second", "third"):
        actor = {"name": name, "stage": _Identity, "stats": stats}
        rows = map_with_actor_pool(rows, actor, batch_size, num_actors=1, num_cpus=0.1)
    return rows


class _Identity:
    def __call__(self, table: pa.Table) -> pa.Table:
        return table
