"""Photographs to meshes, with any model, on Ray Data; resumable.

Meshes are named by their photos, so a photo that is done twice leaves one mesh. Ray Data's
own checkpoint notes each finished photo; the same command again does the rest.
"""

import io
import posixpath
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data

from rayboot.cluster.failures import translate_ray_errors
from rayboot.cluster.progress import show_progress, spawn_on_driver_node
from rayboot.cluster.resources import require_resources
from rayboot.data.mesh_files import encode_mesh
from rayboot.errors import DegenerateInputError, FaceRejectedError, RaybootError
from rayboot.geometry.isosurface import extract_coarse_surface
from rayboot.io.lease import hold_lease
from rayboot.io.retry import retry_io, translate_storage_errors
from rayboot.io.storage import (
    arrow_filesystem,
    exists,
    join_below,
    join_uri,
    list_files,
    open_file,
    write_bytes,
)
from rayboot.logs import logged_run
from rayboot.pipeline.actor import StageStats, map_with_actor_pool, read_progress
from rayboot.pipeline.blocks import ROWS_PER_BLOCK, WRITE_CPUS, cut_into_blocks
from rayboot.pipeline.checkpoint import checkpointed, finished_files
from rayboot.pipeline.export_request import CHECKPOINT, LISTING, LOCK, ROWS, ExportPlan, MeshKind
from rayboot.pipeline.isolation import SubprocessSpec
from rayboot.pipeline.stages.crop_faces import CropFaces, reject_crop
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.records import Row, decode_solid, map_rows, table_to_rows
from rayboot.render.texturing import color_vertices

__all__ = ["ExportSummary", "WriteMeshes", "export_meshes"]

_INDEX = "index.parquet"

INDEX_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        # (2, 3) row-major, source px to crop px: where in the photo the mesh lies.
        ("crop", pa.list_(pa.float64())),
        ("ply", pa.string()),
        ("glb", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)

_LAST_STAGE = "mesh"


class ExportSummary(NamedTuple):
    """Photos that gave a mesh, and those that gave none by (stage, reason)."""

    num_meshes: int
    rejects: Mapping[tuple[str, str], int]


def export_meshes(plan: ExportPlan) -> ExportSummary:
    """Writes ``STEM.ply`` and ``STEM.glb`` for every face; Ray must be initialised.

    Vertices are in the frame of the face's crop (x right, y up, z towards the
    viewer, px); ``index.parquet``, written last, has the crop's affine, and the reason
    where a photo gave no mesh.

    Args:
        plan: from :func:`rayboot.pipeline.export_request.prepare_export`.

    Raises:
        BusyError: another run writes to the same output.
        StoreError: the object store is in trouble for long; what is finished is kept.
    """
    with logged_run(plan.run_id), hold_lease(join_uri(plan.output, LOCK)):
        if not exists(join_uri(plan.output, _INDEX)):
            done = retry_io(lambda: _read_rows(plan.output), plan.output)
            if len(done) < plan.num_photos:
                _run(plan, plan.num_photos - len(done))
            retry_io(lambda: _write_index(plan), plan.output)
        return retry_io(lambda: _summarize(plan.output), plan.output)


def _run(plan: ExportPlan, num_left: int) -> None:
    pools = plan.config.pools
    require_resources(pools.bundles())
    filesystem, path = arrow_filesystem(plan.output)
    stats = spawn_on_driver_node(StageStats)
    with (
        translate_ray_errors(plan.output),
        translate_storage_errors(plan.output),
        checkpointed(join_uri(path, CHECKPOINT), filesystem),
        show_progress("mesh", "photo", lambda: read_progress(stats, _LAST_STAGE), num_left),
    ):
        listing = ray.data.read_parquet(
            join_uri(path, LISTING), filesystem=filesystem, num_cpus=pools.reader_cpus
        )
        blocks = cut_into_blocks(listing, ROWS_PER_BLOCK, pools.reader_cpus)
        rows = _mesh_stages(blocks, plan, stats)
        rows.write_parquet(
            join_uri(path, ROWS),
            filesystem=filesystem,
            ray_remote_args={"num_cpus": WRITE_CPUS},
        )
    ray.kill(stats)


def _mesh_stages(listing: ray.data.Dataset, plan: ExportPlan, stats: Any) -> ray.data.Dataset:
    """Listed photos to rows of the index, their meshes written."""
    config, pools, size = plan.config, plan.config.pools, plan.network.resolution
    read = partial(CropFaces, size, None, detect_faces=config.detect_faces)
    cropped = map_with_actor_pool(
        listing,
        {
            "name": "read",
            "stage": SubprocessSpec.create(read, reject_crop, pools.photo_timeout_s),
            "stats": stats,
        },
        batch_size=pools.batch_size,
        num_actors=pools.num_readers,
        num_cpus=pools.reader_cpus,
    )
    reconstruct = partial(
        PredictVolume,
        weights=plan.weights,
        config=config.inference,
        batch_size=pools.batch_size,
        use_gpu=pools.reconstruct_gpus > 0,
    )
    reconstructed = map_with_actor_pool(
        cropped,
        {"name": "reconstruct", "stage": reconstruct, "stats": stats},
        batch_size=pools.batch_size,
        num_actors=pools.num_reconstruct_actors,
        num_cpus=pools.reconstruct_cpus,
        num_gpus=pools.reconstruct_gpus or None,
    )
    write = partial(WriteMeshes, (plan.network.slices, size, size), plan.output, config.kinds)
    return map_with_actor_pool(
        reconstructed,
        {"name": _LAST_STAGE, "stage": write, "stats": stats},
        batch_size=pools.batch_size,
        num_actors=pools.num_render_actors,
        num_cpus=pools.render_cpus,
    )


def _read_rows(output: str) -> pa.Table:
    """Rows of the index, as far as photos are finished."""
    parts = [INDEX_SCHEMA.empty_table()]
    for name in finished_files(output, list_files(output, ROWS), CHECKPOINT):
        with open_file(join_uri(output, name)) as file:
            parts.append(pq.read_table(file).select(INDEX_SCHEMA.names).cast(INDEX_SCHEMA))
    return pa.concat_tables(parts)


def _write_index(plan: ExportPlan) -> None:
    rows = _read_rows(plan.output).sort_by("face_id")
    if len(rows) != plan.num_photos:
        raise RaybootError(
            f"{plan.output}: {plan.num_photos} photos were listed, but {len(rows)} are finished; "
            "run the same command again"
        )
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    write_bytes(join_uri(plan.output, _INDEX), buffer.getvalue())


def _summarize(output: str) -> ExportSummary:
    with open_file(join_uri(output, _INDEX)) as file:
        table = pq.read_table(file, columns=["stage", "reason"])
    pairs = zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)
    rejects = Counter((stage, reason) for stage, reason in pairs if reason)
    return ExportSummary(len(table) - sum(rejects.values()), rejects)


class WriteMeshes:
    """Volume to a coloured mesh, written as files.

    Reads    image, occupancy, cells, box
    Gives    rows of the index: files written, or the reason
    """

    def __init__(
        self, shape: tuple[int, int, int], output: str, kinds: tuple[MeshKind, ...]
    ) -> None:
        self._shape, self._output, self._kinds = shape, output, kinds

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch."""
        rows = map_rows(table_to_rows(table), self._process)
        names = INDEX_SCHEMA.names
        kept = [{name: row.get(name) for name in names} for row in rows]
        return pa.Table.from_pylist(kept, schema=INDEX_SCHEMA)

    def _process(self, row: Row) -> Row:
        names = self._names(row["face_id"])
        size = self._shape[2]
        photo = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        solid = decode_solid(row, self._shape, 0).without_small_components()
        try:
            mesh = extract_coarse_surface(solid.cells, self._shape, 0)
        except DegenerateInputError as error:
            raise FaceRejectedError("reconstruct", "degenerate", str(error)) from error
        # Any pose may come here, so no plane of symmetry is asked for.
        painted = color_vertices(mesh, photo, None, "mirrored")
        payloads = {kind: encode_mesh(painted, kind) for kind in self._kinds}
        for kind, payload in payloads.items():
            uri = join_below(self._output, names[kind])
            retry_io(partial(write_bytes, uri, payload), uri)
        return names

    def _names(self, face_id: str) -> Row:
        """File names by kind; what a table of photos calls itself is anybody's."""
        # The photo's suffix stays in the name: a.jpg and a.png are two faces.
        stem = "_".join(posixpath.splitext(face_id)).replace("_.", "_")
        names: Row = {kind: f"{stem}.{kind}" for kind in self._kinds}
        try:
            for name in names.values():
                join_below(self._output, name)
        except ValueError as error:
            raise FaceRejectedError("reconstruct", "unsafe-name", str(error)) from error
        return names
