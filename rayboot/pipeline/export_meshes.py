"""From photos to mesh files, with any model; resumable.

Meshes are named by their photos, so a photo that is processed twice leaves one mesh.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.errors import RaybootError
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import exists, join_uri, list_files
from rayboot.pipeline.blocks import ROWS_PER_BLOCK
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.export_request import ExportPlan
from rayboot.pipeline.graph import StageSpec, crop_stage, predict_stage
from rayboot.pipeline.runner import Executor, Job, run_job
from rayboot.pipeline.stages.write_meshes import INDEX_SCHEMA, WriteMeshes
from rayboot.pipeline.unused_landmarks import count_unused_landmarks

__all__ = ["ExportJob", "ExportSummary", "export_meshes"]

_INDEX = "index.parquet"
_ROWS = "_run/rows"


class ExportSummary(NamedTuple):
    """Result of an export.

    Attributes:
        num_meshes: Number of photos that gave a mesh.
        rejects: Number of photos that gave none, by (stage, reason).
        num_of_several: Number of meshes whose photo shows several people.
        unused_landmarks: Number of photos whose landmark file was not used, by the reason.
    """

    num_meshes: int
    rejects: Mapping[tuple[str, str], int]
    num_of_several: int
    unused_landmarks: Mapping[str, int]


def export_meshes(plan: ExportPlan, executor: Executor | None = None) -> ExportSummary:
    """Writes ``STEM.ply`` and ``STEM.glb`` for every face, named as its photo.

    Photos whose names differ only in the suffix keep it (``a_jpg.ply``); see
    :mod:`rayboot.pipeline.mesh_names`.

    Vertices are in the frame of the face's crop (x right, y up, z towards the viewer, px).
    ``index.parquet``, written last, has the crop's affine, and the reason where a photo gave no
    mesh.

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
    rows_below = _ROWS
    rows_per_block = ROWS_PER_BLOCK

    def __init__(self, plan: ExportPlan) -> None:
        self._plan = plan
        self.output, self.run_id, self.num_photos = plan.output, plan.run_id, plan.num_photos
        self.reader_cpus = plan.config.pools.reader_cpus

    def stages(self) -> Sequence[StageSpec]:
        """Crop, predict, write."""
        config, pools, network = self._plan.config, self._plan.config.pools, self._plan.network
        shape = (network.slices, network.resolution, network.resolution)
        return (
            crop_stage(network, pools, None, config.detect_faces),
            predict_stage(self._plan.weights, config.inference, pools),
            StageSpec(
                "mesh",
                partial(WriteMeshes, shape, self.output, config.kinds),
                pools.batch_size,
                pools.num_render_actors,
                pools.render_cpus,
            ),
        )

    def is_complete(self) -> bool:
        """Whether the index is written."""
        return exists(join_uri(self.output, _INDEX))

    def count_finished(self) -> int:
        """Number of photos with a row of the index."""
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
        write_table(join_uri(self.output, _INDEX), rows)

    def summarize(self) -> ExportSummary:
        """Counts of meshes and rejects."""
        table = read_table(join_uri(self.output, _INDEX))
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
        names = finished_files(self.output, list_files(self.output, _ROWS))
        tables = (read_table(join_uri(self.output, name)) for name in names)
        rows = [table.select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA) for table in tables]
        return pa.concat_tables([INDEX_SCHEMA.empty_table(), *rows])
