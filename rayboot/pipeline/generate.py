"""Photographs to a pairs data set: the stages, put together with Ray Data.

Ray Data's own checkpoint notes each finished photo, so that the same command again
does the rest.
"""

import logging
import time

import pyarrow.parquet as pq
import ray.data
from ray.data import Dataset

from rayboot.cluster.failures import translate_ray_errors
from rayboot.cluster.progress import show_progress, spawn_on_driver_node
from rayboot.cluster.resources import require_resources
from rayboot.data.manifest import Manifest, read_manifest, write_manifest
from rayboot.errors import RaybootError
from rayboot.io.lease import hold_lease
from rayboot.io.retry import retry_io, translate_storage_errors
from rayboot.io.storage import (
    arrow_filesystem,
    exists,
    join_uri,
    open_file,
)
from rayboot.logs import logged_run
from rayboot.pipeline.actor import StageStats, StageUsage, StatsSnapshot, read_progress
from rayboot.pipeline.blocks import WRITE_CPUS, cut_into_blocks, rows_per_block
from rayboot.pipeline.checkpoint import checkpointed
from rayboot.pipeline.generate_request import CHECKPOINT, LISTING, LOCK, TEST_PHOTOS, GeneratePlan
from rayboot.pipeline.generate_summary import GenerateSummary, count_finished_photos, summarize
from rayboot.pipeline.graph import LAST_STAGE, build_generate_graph
from rayboot.pipeline.listing import build_hash_index
from rayboot.pipeline.retry_rejects import finish_removal

__all__ = ["generate"]

_LOG = logging.getLogger(__name__)

_TEST_PICTURES = "_run/test-pictures.parquet"


def generate(plan: GeneratePlan) -> GenerateSummary:
    """Makes, or finishes, the pairs data set; Ray must be initialised.

    Args:
        plan: from :func:`prepare`.

    Raises:
        BusyError: another run writes to the same output.
        StoreError: the object store is in trouble for long; what is finished is kept.
        DiskFullError, ClusterError: likewise.
    """
    with logged_run(plan.run_id) as run_id, hold_lease(join_uri(plan.output, LOCK)):
        finish_removal(plan.output)
        if read_manifest(plan.output) is not None:
            _LOG.info("%s is finished already", plan.output)
            return summarize(plan.output)
        started = time.monotonic()
        num_left = plan.num_photos - retry_io(
            lambda: count_finished_photos(plan.output), plan.output
        )
        _LOG.info(
            "run %s: %d photos, %d of them to do, into %s",
            run_id, plan.num_photos, num_left, plan.output,
            extra={"num_photos": plan.num_photos, "num_left": num_left, "output": plan.output},
        )  # fmt: skip
        use = _run_stages(plan, num_left) if num_left else {}
        summary = retry_io(lambda: _finish(plan, run_id), plan.output)
        return summary._replace(stages=use, seconds=time.monotonic() - started)


def _run_stages(plan: GeneratePlan, num_left: int) -> dict[str, StageUsage]:
    pools = plan.config.pools
    require_resources(pools.bundles())
    filesystem, path = arrow_filesystem(plan.output)
    tested = _find_test_pictures(plan)
    stats = spawn_on_driver_node(StageStats)
    with (
        translate_ray_errors(plan.output),
        translate_storage_errors(plan.output),
        checkpointed(join_uri(path, CHECKPOINT), filesystem),
        show_progress("generate", "photo", lambda: read_progress(stats, LAST_STAGE), num_left),
    ):
        rows = build_generate_graph(_read_listing(plan), plan, stats, tested)
        rows.write_parquet(
            path,
            filesystem=filesystem,
            partition_cols=["outcome"],
            ray_remote_args={"num_cpus": WRITE_CPUS},
        )
    snapshot: StatsSnapshot = ray.get(stats.snapshot.remote())
    ray.kill(stats)
    return snapshot.usage


def _find_test_pictures(plan: GeneratePlan) -> str | None:
    """URI of the pictures that no photo may show; None where there are none."""
    if not plan.left_out["test_photos_left_out"]:
        return None
    uri = join_uri(plan.output, _TEST_PICTURES)
    if not exists(uri):
        with open_file(join_uri(plan.output, TEST_PHOTOS)) as file:
            build_hash_index(pq.read_table(file)).save(uri)
    return uri


def _read_listing(plan: GeneratePlan) -> Dataset:
    filesystem, path = arrow_filesystem(join_uri(plan.output, LISTING))
    pools = plan.config.pools
    num_rows = rows_per_block(plan.num_photos, pools, plan.volume_shape())
    # Finished photos are filtered right after this read, before a byte of them is fetched.
    listing = ray.data.read_parquet(path, filesystem=filesystem, num_cpus=pools.reader_cpus)
    return cut_into_blocks(listing, num_rows, pools.reader_cpus)


def _finish(plan: GeneratePlan, run_id: str) -> GenerateSummary:
    summary = summarize(plan.output)
    num_rejects = sum(summary.rejects.values())
    if summary.num_faces + num_rejects != plan.num_photos:
        raise RaybootError(
            f"{plan.output}: {plan.num_photos} photos were listed, but {summary.num_faces} faces "
            f"and {num_rejects} rejects are there; run the same command again"
        )
    counts = {
        "faces": summary.num_faces,
        "views": summary.num_views,
        "views_left_out": summary.num_views_left_out,
        "rejects": num_rejects,
        **plan.left_out,
        **{f"reject/{stage}/{why}": n for (stage, why), n in sorted(summary.rejects.items())},
    }
    config = plan.config.model_dump(mode="json")
    made_by = {**plan.stamp, "run_id": run_id}
    write_manifest(plan.output, Manifest(config=config, counts=counts, **made_by))
    return summary
