"""Executes the stages of a job on Ray Data.

Ray Data's own checkpoint records each finished photo, so that the same command again does the
rest.
"""

import logging
from collections.abc import Mapping
from typing import Any

import ray
import ray.data
from ray.data import Dataset

from rayboot.cluster.failures import translate_ray_errors
from rayboot.cluster.progress import spawn_on_driver_node
from rayboot.cluster.progress_bar import show_progress
from rayboot.io.retry import translate_storage_errors
from rayboot.io.storage import arrow_filesystem, join_uri
from rayboot.pipeline.actor import StageStats, read_progress, read_snapshot
from rayboot.pipeline.actor_limits import require_actors
from rayboot.pipeline.blocks import WRITE_CPUS, cut_into_blocks
from rayboot.pipeline.checkpoint import checkpointed
from rayboot.pipeline.graph import build_graph
from rayboot.pipeline.output_layout import CHECKPOINT, LISTING
from rayboot.pipeline.runner import Job
from rayboot.pipeline.stage_usage import StageUsage

__all__ = ["RayExecutor"]

# Importing ray.data sets the level of its logger. Its plans and hints would hide the progress of
# the run; they are in Ray's own logs.
logging.getLogger("ray.data").setLevel(logging.ERROR)
# Nor may its errors hide the one sentence that a run ends with: a full disk is a hundred lines of
# tracebacks there. Ray's log file has them, and the error itself is raised here.
for _handler in logging.getLogger("ray.data").handlers:
    # Only Ray's own: the level of a handler that others put there belongs to them.
    is_of_ray = type(_handler).__module__.startswith("ray.")
    if is_of_ray and isinstance(_handler, logging.StreamHandler):
        _handler.setLevel(logging.CRITICAL)


class RayExecutor:
    """Runs jobs on the Ray cluster that this process is connected to."""

    def execute(self, job: Job[Any], num_left: int) -> Mapping[str, StageUsage]:
        """Runs the photos without a row through pools of actors; see the protocol.

        Raises:
            RaybootError: The cluster has too little capacity for all actors at once.
            StoreError: The object store stayed unavailable.
            DiskFullError: There is no space left at the output.
            ClusterError: Machines or processes were lost more often than they are restarted.
        """
        filesystem, path = arrow_filesystem(job.output)
        stages = require_actors(job.stages())
        stats = spawn_on_driver_node(StageStats)
        last_stage = stages[-1].name
        with (
            translate_ray_errors(job.output),
            translate_storage_errors(job.output),
            checkpointed(join_uri(path, CHECKPOINT), filesystem),
            show_progress(job.name, "photo", lambda: read_progress(stats, last_stage), num_left),
        ):
            rows = build_graph(_read_listing(job, path, filesystem), stages, stats)
            rows.write_parquet(
                join_uri(path, job.rows_below) if job.rows_below else path,
                filesystem=filesystem,
                ray_remote_args={"num_cpus": WRITE_CPUS},
                **job.write_options,
            )
        snapshot = read_snapshot(stats)
        ray.kill(stats)
        return snapshot.usage


def _read_listing(job: Job[Any], path: str, filesystem: Any) -> Dataset:
    # Finished photos are filtered right after this read, before a byte of them is fetched.
    listing = ray.data.read_parquet(
        join_uri(path, LISTING), filesystem=filesystem, num_cpus=job.reader_cpus
    )
    return cut_into_blocks(listing, job.rows_per_block, job.reader_cpus)
