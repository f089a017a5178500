"""A few hundred photos through the real stages: what each of them takes."""

import posixpath
import statistics
import time
import uuid
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data import Dataset

from rayboot.cluster.progress import show_progress, spawn_on_driver_node
from rayboot.cluster.resources import find_largest_nodes, require_resources
from rayboot.cluster.session import connect
from rayboot.errors import RequestError
from rayboot.io.storage import (
    arrow_filesystem,
    join_uri,
    list_files,
    open_file,
    remove,
    scratch_folder,
)
from rayboot.pipeline.actor import StageStats, map_with_actor_pool, read_progress
from rayboot.pipeline.blocks import ROWS_PER_BLOCK, cut_into_blocks
from rayboot.pipeline.checkpoint import without_progress_bars
from rayboot.pipeline.generate import generate_stages
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.pipeline.generate_summary import summarize
from rayboot.pipeline.graph import build_graph
from rayboot.pipeline.in_process_executor import write_block
from rayboot.pipeline.output_layout import LISTING
from rayboot.pipeline.planning.capacity import Calibration, Node, forecast
from rayboot.pipeline.planning.limits import Input

__all__ = ["InputSize", "empty_stages", "measure_input", "measure_sample"]

_EMPTY_ROWS = 32
"""Times as many as the sample has pass through stages that do nothing."""


class InputSize(NamedTuple):
    """What a forecast needs to know of an input.

    Attributes:
        photos: that a run would take.
        node: of the cluster that Ray is connected to, the largest.
        measured: what a sample took on such nodes.
    """

    photos: Input
    node: Node
    measured: Calibration


def measure_input(config: GenerateConfig) -> InputSize:
    """Lists the input and measures a sample of it; of its output nothing remains.

    Raises:
        RequestError: see :func:`rayboot.pipeline.generate_request.prepare_generate`.
    """
    with scratch_folder(config.output) as folder:
        request = prepare_generate(config.replace(output=folder))
        with connect():
            # Before there are nodes there is none to measure.
            require_resources(config.pools.bundles())
            cpus, gpus, num_alike = find_largest_nodes()
            node = Node(cpus, gpus)
            measured = measure_sample(request, node, num_alike)
        place = _some_photos(request, 1)["source_uri"][0].as_py()
    photos = Input(request.num_photos, place.endswith((".parquet", ".tar")), "://" in place)
    return InputSize(photos, node, measured)


def measure_sample(
    plan: GeneratePlan, node: Node, num_nodes: int = 1, num_photos: int = 256
) -> Calibration:
    """Runs the stages of a request on photos spread evenly over its input.

    All pools work at once, as in a run, since they take cache and bandwidth from each other.
    Which pools a run would have is what a first, smaller sample tells.

    Args:
        plan: the request; of what is written to its output nothing remains.
        node: of the cluster that Ray is connected to.
        num_nodes: how many it has.
        num_photos: of the sample.

    Raises:
        RequestError: there are no photos but duplicates.
    """
    rough, _ = _measure(plan, max(1, num_photos // 4))
    pools = forecast(rough, plan.num_photos, node, num_nodes, plan.config.pools).pools
    planned = plan._replace(config=plan.config.replace(pools=pools))
    measured, rows = _measure(planned, num_photos)
    write_s, write_cpu_s, count_s = _time_writing(plan.output, rows)
    return measured._replace(
        engine_rate=_engine_rate(plan, num_photos),
        write_s=write_s,
        write_cpu_s=write_cpu_s,
        count_s=count_s,
    )


def _measure(plan: GeneratePlan, num_photos: int) -> tuple[Calibration, pa.Table]:
    """What the stages take, and a block of what they make."""
    pools = plan.config.pools
    require_resources(pools.bundles())
    photos = _some_photos(plan, num_photos)
    tally = spawn_on_driver_node(StageStats)
    stages = generate_stages(plan)
    last_stage = stages[-1].name
    listing = cut_into_blocks(ray.data.from_arrow(photos), ROWS_PER_BLOCK, pools.reader_cpus)
    with (
        without_progress_bars(),
        show_progress(
            "sample", "photo", lambda: read_progress(tally, last_stage), total=len(photos)
        ),
    ):
        rows = build_graph(listing, stages, tally)
        made = pa.concat_tables(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
    reading = ray.get(tally.read.remote())
    ray.kill(tally)
    measured = Calibration(
        num_photos=len(photos),
        num_faces=pc.sum(pc.equal(made["outcome"], "face")).as_py(),
        cpu_s={name: use.cpu_s / use.rows for name, use in reading.use.items()},
        busy_s={name: use.busy_s / use.rows for name, use in reading.use.items()},
        on_gpu=pools.reconstruct_gpus > 0,
        start_s=reading.first_s[last_stage],
        engine_rate=float("inf"),
        write_s=0.0,
        write_cpu_s=0.0,
        count_s=0.0,
        shape=plan.volume_shape(),
    )
    return measured, made.slice(0, ROWS_PER_BLOCK)


def _time_writing(output: str, block: pa.Table, num_turns: int = 5) -> tuple[float, float, float]:
    """Medians: seconds to write a block as Ray Data does, processor time, seconds to count it."""
    folder = join_uri(output, f"_run/trial-{uuid.uuid4().hex[:8]}")
    filesystem, path = arrow_filesystem(folder)
    # The few rows of a short sample, as often as a block has room for.
    full = pa.concat_tables([block] * -(-ROWS_PER_BLOCK // len(block))).slice(0, ROWS_PER_BLOCK)
    taken: list[tuple[float, float]] = []
    try:
        for turn in range(num_turns):
            started, spent = time.perf_counter(), time.process_time()
            checkpoint = posixpath.join(path, "checkpoint")
            write_block(full, filesystem, path, checkpoint, f"{turn}", ["outcome"])
            taken.append((time.perf_counter() - started, time.process_time() - spent))
        started = time.perf_counter()
        summarize(folder)
        # A few files at once take as long as the slowest of them.
        count_s = time.perf_counter() - started
    finally:
        for name in list_files(folder):
            remove(join_uri(folder, name))
    seconds, cpu_s = (statistics.median(values) for values in zip(*taken, strict=True))
    return seconds, min(seconds, cpu_s), count_s


def _some_photos(plan: GeneratePlan, count: int) -> pa.Table:
    with open_file(join_uri(plan.output, LISTING)) as file:
        listing = pq.read_table(file)
    # A duplicate costs nothing: more of them than there are would be a wrong sample.
    photos = listing.filter(pc.is_null(listing["duplicate_of"]))
    if len(photos) == 0:
        raise RequestError(f"input {plan.config.input}: no photo to measure")
    spread = np.linspace(0, len(photos) - 1, min(count, len(photos)))
    return photos.take(np.unique(spread.round().astype(int)))


def _engine_rate(plan: GeneratePlan, num_photos: int) -> float:
    """Rows a second through as many stages, blocks and batches as a run has, without work."""
    table = pa.concat_tables([_some_photos(plan, num_photos)] * _EMPTY_ROWS)
    with without_progress_bars():
        batch_size = plan.config.pools.batch_size
        rows = empty_stages(ray.data.from_arrow(table), ROWS_PER_BLOCK, batch_size)
        first_at, done = None, 0
        for bundle in rows.iter_internal_ref_bundles():
            if first_at is None:
                first_at = time.monotonic()
            else:
                done += bundle.num_rows() or 0
    return done / (time.monotonic() - (first_at or 0.0))


def empty_stages(listing: Dataset, num_rows: int, batch_size: int) -> Dataset:
    """Listed photos through as many pools as a run has, which do nothing with them.

    Args:
        listing: rows of any kind.
        num_rows: of a block.
        batch_size: of what an actor takes at once.
    """
    tally: Any = ray.remote(num_cpus=0)(StageStats).remote()
    rows = cut_into_blocks(listing, num_rows, 0.1)
    for name in ("first", "second", "third"):
        actor = {"name": name, "stage": _Empty, "tally": tally}
        rows = map_with_actor_pool(rows, actor, batch_size, num_actors=1, num_cpus=0.1)
    return rows


class _Empty:
    def __call__(self, table: pa.Table) -> pa.Table:
        return table
