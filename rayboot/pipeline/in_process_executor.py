"""Executes the stages of a job in this process, without Ray.

The output is that of a run on Ray, checkpoint included: either executor resumes what the other
one began. It serves runs on a few photos, for which the start of Ray would take longest, tests and
debuggers.
"""

import posixpath
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.io.parquet import read_table
from rayboot.io.storage import arrow_filesystem, join_uri
from rayboot.pipeline.checkpoint_files import finished_ids, remove_unfinished
from rayboot.pipeline.graph import StageSpec
from rayboot.pipeline.isolation import Stage, SubprocessSpec, SubprocessStage
from rayboot.pipeline.output_layout import CHECKPOINT, LISTING
from rayboot.pipeline.runner import Clock, Job
from rayboot.pipeline.stage_usage import StageUsage

__all__ = ["InProcessExecutor", "write_block"]


class InProcessExecutor:
    """Runs one block after the other.

    Args:
        clock: Clock that the stages' time is measured with.
        isolated: Whether stages that crash or hang on a rare photo run in subprocesses, as on Ray:
            the photo becomes a reject. Each takes some seconds to start.
    """

    def __init__(self, clock: Clock = time, *, isolated: bool = False) -> None:
        self._clock, self._isolated = clock, isolated

    def execute(self, job: Job[Any], num_left: int) -> Mapping[str, StageUsage]:
        """Runs the photos without a row through the stages; see the protocol."""
        remove_unfinished(job.output, job.rows_below)
        listing = read_table(join_uri(job.output, LISTING))
        left = listing.filter(pc.invert(pc.is_in(listing["face_id"], finished_ids(job.output))))
        specs = job.stages()
        stages = [(spec.name, self._create(spec), spec.batch_size) for spec in specs]
        usage: dict[str, StageUsage] = {}
        rows = join_uri(job.output, job.rows_below) if job.rows_below else job.output
        filesystem, path = arrow_filesystem(rows)
        _, checkpoint = arrow_filesystem(join_uri(job.output, CHECKPOINT))
        prefix = uuid.uuid4().hex
        for number, start in enumerate(range(0, len(left), job.rows_per_block)):
            block = left.slice(start, job.rows_per_block)
            for name, stage, batch_size in stages:
                block, spent = self._run_stage(stage, block, batch_size)
                usage[name] = usage.get(name, StageUsage(0, 0.0, 0.0, 0)).combined(spent)
            name = f"{prefix}_{number:06d}"
            options = dict(job.write_options)
            partitions = options.pop("partition_cols", ())
            write_block(block, filesystem, path, checkpoint, name, partitions, **options)
        return usage

    def _create(self, spec: StageSpec) -> Stage:
        if self._isolated and isinstance(spec.stage, SubprocessSpec):
            isolated = SubprocessStage(spec.stage, spec.name)
            # While the next stages load their networks.
            isolated.start()
            return isolated
        return spec.create()

    def _run_stage(
        self, stage: Stage, block: pa.Table, batch_size: int
    ) -> tuple[pa.Table, StageUsage]:
        started, cpu_before = self._clock.monotonic(), time.process_time()
        starts = range(0, len(block), batch_size)
        made = pa.concat_tables([stage(block.slice(start, batch_size)) for start in starts])
        busy_s = self._clock.monotonic() - started
        cpu_s = time.process_time() - cpu_before
        return made, StageUsage(len(made), busy_s, cpu_s, made.nbytes)


def write_block(
    block: pa.Table,
    filesystem: Any,
    path: str,
    checkpoint: str,
    name: str,
    partition_cols: Sequence[str],
    **options: Any,
) -> None:
    """Writes a block of rows as Ray Data does with its checkpoint: pending, written, finished.

    Args:
        block: Rows with a column ``face_id``.
        filesystem: PyArrow's file system of both paths.
        path: Folder of the rows.
        checkpoint: Folder of the checkpoint.
        name: Stem of the files' names.
        partition_cols: Columns that become folders.
        options: Options of :func:`pyarrow.parquet.write_to_dataset`.
    """
    # Each chunk would be a row group, and its statistics take as many bytes as some faces.
    block = block.combine_chunks()
    filesystem.create_dir(checkpoint, recursive=True)
    pending, finished = (
        posixpath.join(checkpoint, f"{name}{end}.parquet") for end in (".pending", "")
    )
    pq.write_table(block.select(["face_id"]), pending, filesystem=filesystem)
    pq.write_to_dataset(
        block,
        path,
        partition_cols=list(partition_cols) or None,
        filesystem=filesystem,
        basename_template=f"{name}-{{i}}.parquet",
        existing_data_behavior="overwrite_or_ignore",
        **options,
    )
    for place in (finished, pending):
        filesystem.get_file_info(place)
    filesystem.move(pending, finished)
