"""From photos to mesh files, with any model; resumable.

Meshes are named by their photos, so a photo that is processed twice leaves one mesh. A few photos
are processed in this process, since the start of Ray would take far longer than they do.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.errors import RaybootError
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import join_uri, list_files
from rayboot.pipeline.blocks import ROWS_PER_BLOCK
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.export_request import ExportPlan, count_indexed_photos
from rayboot.pipeline.graph import StageSpec, crop_stage, predict_stage
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.output_change import finish_change
from rayboot.pipeline.output_layout import MESH_INDEX, MESH_ROWS
from rayboot.pipeline.runner import Executor, Job, run_job
from rayboot.pipeline.stages.write_meshes import INDEX_SCHEMA, ROW_SCHEMA, WriteMeshes
from rayboot.pipeline.unused_landmarks import count_unused_landmarks

__all__ = [
    "MAX_PHOTOS_IN_PROCESS",
    "ExportJob",
    "ExportSummary",
    "export_meshes",
    "export_on_this_machine",
    "fits_into_process",
]

MAX_PHOTOS_IN_PROCESS = 32
"""Number of photos up to which Ray is not started: with the compact network they take some
seconds, with one of the released size half a minute."""


class ExportSummary(NamedTuple):
    """Result of an export.

    Attributes:
        num_meshes: Number of meshes.
        rejects: Number of faces and photos that gave none, by (stage, reason).
        num_of_several: Number of meshes whose photo shows several people.
        unused_landmarks: Number of photos whose landmark file was not used, by the reason.
    """

    num_meshes: int
    rejects: Mapping[tuple[str, str], int]
    num_of_several: int
    unused_landmarks: Mapping[str, int]


def export_on_this_machine(plan: ExportPlan) -> ExportSummary:
    """Writes the meshes as :func:`export_meshes`, in this process or on Ray.

    Ray is started for more than :data:`MAX_PHOTOS_IN_PROCESS` photos, for networks on GPUs, and in
    jobs of a cluster. The files are the same.

    Raises:
        BusyError, StoreError, DiskFullError, ClusterError: See :func:`export_meshes`.
    """
    if fits_into_process(plan):
        return export_meshes(plan, InProcessExecutor(isolated=True))
    from rayboot.cluster.session import connect

    with connect():
        return export_meshes(plan)


def fits_into_process(plan: ExportPlan) -> bool:
    """Whether a request is processed without Ray."""
    on_gpu = plan.config.pools.reconstruct_gpus > 0
    return (
        plan.num_to_do <= MAX_PHOTOS_IN_PROCESS and not on_gpu and "RAY_ADDRESS" not in os.environ
    )


def export_meshes(plan: ExportPlan, executor: Executor | None = None) -> ExportSummary:
    """Writes ``STEM.ply``, ``STEM.glb`` or ``STEM.obj`` for every face, named as its photo.

    Photos whose names differ only in the suffix keep it (``a_jpg.ply``); where all faces of a photo
    are exported, their number follows (``a-1.ply``). See :mod:`rayboot.pipeline.mesh_names`.

    Vertices are in the frame of the face's crop (x right, y up, z towards the viewer, origin at its
    centre), in the unit of the config, which files and index name.
    ``index.parquet``, written last, has the crop's affine, and the reason where a face or photo
    gave no mesh.

    Args:
        plan: The request, from :func:`~rayboot.pipeline.export_request.prepare_export`.
        executor: What executes the stages; None is Ray, which must be initialised.

    Raises:
        BusyError: Another run writes to the same output.
        StoreError: The object store stayed unavailable; finished photos are kept.
        DiskFullError, ClusterError: Likewise.
    """
    summary, _ = run_job(ExportJob(plan), executor)
    return summary


class ExportJob(Job[ExportSummary]):
    """Photos to mesh files and rows of :data:`INDEX_SCHEMA`."""

    name = "mesh"
    rows_below = MESH_ROWS
    rows_per_block = ROWS_PER_BLOCK

    def __init__(self, plan: ExportPlan) -> None:
        self._plan = plan
        self.output, self.run_id, self.num_photos = plan.output, plan.run_id, plan.num_photos
        self.reader_cpus = plan.config.pools.reader_cpus

    def stages(self) -> Sequence[StageSpec]:
        """Crop, predict, write."""
        config, pools, network = self._plan.config, self._plan.config.pools, self._plan.network
        shape = (network.slices, network.resolution, network.resolution)
        all_faces = self._plan.faces == "all"
        return (
            crop_stage(
                network,
                pools,
                None,
                config.detect_faces,
                all_faces=all_faces,
                with_closeups="obj" in config.kinds,
            ),
            predict_stage(self._plan.weights, config.inference, pools),
            StageSpec(
                "mesh",
                partial(WriteMeshes, shape, self.output, config.kinds, all_faces, config.unit),
                pools.batch_size,
                pools.num_render_actors,
                pools.render_cpus,
            ),
        )

    def is_complete(self) -> bool:
        """Whether the index is written, and has every listed photo."""
        return count_indexed_photos(self.output) == self.num_photos

    def recover(self) -> None:
        """Completes a change of the rows that was interrupted."""
        finish_change(self.output)

    def count_finished(self) -> int:
        """Number of photos with a row."""
        return len(self._read_rows())

    def complete(self) -> None:
        """Writes the index.

        Raises:
            RaybootError: The rows are not as many as the listed photos.
        """
        rows = self._read_rows().sort_by("face_id")
        if len(rows) != self.num_photos:
            raise RaybootError(
                f"{self.output}: {self.num_photos} photos were listed, but {len(rows)} are "
                "finished; run the same command again"
            )
        write_table(join_uri(self.output, MESH_INDEX), _index(rows))

    def summarize(self) -> ExportSummary:
        """Counts of meshes and rejects."""
        table = read_table(join_uri(self.output, MESH_INDEX))
        pairs = zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)
        rejects = Counter((stage, reason) for stage, reason in pairs if reason)
        num_of_several = 0
        if "num_people" in table.column_names:  # an index of an earlier version has no such column
            has_mesh = pc.equal(pc.fill_null(table["reason"], ""), "")
            of_several = pc.and_(pc.greater(table["num_people"], 1), has_mesh)
            num_of_several = pc.sum(of_several).as_py() or 0
        num_meshes, unused = len(table) - rejects.total(), count_unused_landmarks(table)
        return ExportSummary(num_meshes, rejects, num_of_several, unused)

    def _read_rows(self) -> pa.Table:
        names = finished_files(self.output, list_files(self.output, MESH_ROWS))
        tables = (read_table(join_uri(self.output, name)) for name in names)
        return pa.concat_tables([ROW_SCHEMA.empty_table(), *map(_with_all_columns, tables)])


def _with_all_columns(rows: pa.Table) -> pa.Table:
    """Returns rows, perhaps of an earlier version with fewer columns, in :data:`ROW_SCHEMA`."""
    names = set(rows.column_names)
    columns = [
        rows[field.name].cast(field.type)
        if field.name in names
        else pa.nulls(len(rows), field.type)
        for field in ROW_SCHEMA
    ]
    return pa.table(columns, schema=ROW_SCHEMA)


def _index(rows: pa.Table) -> pa.Table:
    """Returns the index: the rows, each with several faces replaced by those of its faces."""
    if rows["faces"].null_count == len(rows):
        return rows.select(INDEX_SCHEMA.names)
    return pa.Table.from_pylist(list(_expand_faces(rows)), schema=INDEX_SCHEMA)


def _expand_faces(rows: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches():
        for row in batch.to_pylist():
            yield from row["faces"] or [row]
