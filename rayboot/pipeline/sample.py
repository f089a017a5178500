"""A few hundred photos through the real stages, writing nothing: what each of them takes."""

import time
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data import ActorPoolStrategy

from rayboot.cluster import connect, largest_nodes, require_room
from rayboot.data.storage import join_uri, open_file, scratch_folder
from rayboot.errors import RequestError
from rayboot.pipeline.capacity import Measured, Node, forecast
from rayboot.pipeline.checkpoint import quiet
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.request import LISTING, GeneratePlan, prepare
from rayboot.pipeline.stage import StageActor, Tally, read_progress
from rayboot.pipeline.stages import LAST_STAGE, ROWS_PER_BLOCK, bootstrap_stages
from rayboot.progress import beside_driver, show_progress

__all__ = ["InputSize", "measure_input", "measure_sample"]

_EMPTY_ROWS = 32
"""Times as many as the sample has pass through stages that do nothing."""


class InputSize(NamedTuple):
    """What a forecast needs to know of an input.

    Attributes:
        num_photos: that a run would take.
        node: of the cluster that Ray is connected to, the largest.
        measured: what a sample took on such nodes.
    """

    num_photos: int
    node: Node
    measured: Measured


def measure_input(config: GenerateConfig) -> InputSize:
    """Lists the input and measures a sample of it; of its output nothing remains.

    Raises:
        RequestError: see :func:`rayboot.pipeline.request.prepare`.
    """
    with scratch_folder(config.output) as folder:
        request = prepare(config.replace(output=folder))
        with connect():
            cpus, gpus, num_alike = largest_nodes()
            node = Node(cpus, gpus)
            measured = measure_sample(request, node, num_alike)
    return InputSize(request.num_photos, node, measured)


def measure_sample(
    plan: GeneratePlan, node: Node, num_nodes: int = 1, num_photos: int = 256
) -> Measured:
    """Runs the stages of a request on photos spread evenly over its input.

    All pools work at once, as in a run, since they take cache and bandwidth from each other.
    Which pools a run would have is what a first, smaller sample tells.

    Args:
        plan: the request; nothing is written to its output.
        node: of the cluster that Ray is connected to.
        num_nodes: how many it has.
        num_photos: of the sample.

    Raises:
        RequestError: there are no photos but duplicates.
    """
    rough = _measure(plan, max(1, num_photos // 4))
    pools = forecast(rough, plan.num_photos, node, num_nodes, plan.config.pools).pools
    measured = _measure(plan._replace(config=plan.config.replace(pools=pools)), num_photos)
    return measured._replace(engine_rate=_engine_rate(plan, num_photos))


def _measure(plan: GeneratePlan, num_photos: int) -> Measured:
    pools = plan.config.pools
    require_room(pools.total_cpus(), pools.total_gpus())
    photos = _some_photos(plan, num_photos)
    tally = beside_driver(Tally)
    listing = ray.data.from_arrow(photos).repartition(max(1, len(photos) // ROWS_PER_BLOCK))
    with (
        quiet(),
        show_progress(
            "sample", "photo", lambda: read_progress(tally, LAST_STAGE), total=len(photos)
        ),
    ):
        rows = bootstrap_stages(listing, plan, tally, tested=None)
        outcomes = rows.select_columns(["outcome"]).iter_batches(batch_format="pyarrow")
        num_faces = sum(pc.sum(pc.equal(batch["outcome"], "face")).as_py() for batch in outcomes)
    reading = ray.get(tally.read.remote())
    ray.kill(tally)
    return Measured(
        num_photos=len(photos),
        num_faces=num_faces,
        cpu_s={name: use.cpu_s / use.rows for name, use in reading.use.items()},
        busy_s={name: use.busy_s / use.rows for name, use in reading.use.items()},
        on_gpu=pools.reconstruct_gpus > 0,
        start_s=reading.first_s[LAST_STAGE],
        engine_rate=float("inf"),
    )


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
    tally = beside_driver(Tally)
    rows = ray.data.from_arrow(table).repartition(len(table) // ROWS_PER_BLOCK)
    names = ("first", "second", "third")
    with quiet():
        for name in names:
            rows = rows.map_batches(
                StageActor,
                fn_constructor_kwargs={"name": name, "stage": _Empty, "tally": tally},
                batch_format="pyarrow",
                batch_size=plan.config.pools.batch_size,
                num_cpus=0.1,
                compute=ActorPoolStrategy(size=1),
            )
        first_at, done = None, 0
        for bundle in rows.iter_internal_ref_bundles():
            if first_at is None:
                first_at = time.monotonic()
            else:
                done += bundle.num_rows() or 0
    ray.kill(tally)
    return done / (time.monotonic() - (first_at or 0.0))


class _Empty:
    def __call__(self, table: pa.Table) -> pa.Table:
        return table
