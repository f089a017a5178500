"""Photographs to meshes, with any model: PLY and GLB, coloured, one pair a face."""

import gc
import io
import posixpath
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from ray.data import ActorPoolStrategy, TaskPoolStrategy
from tqdm import tqdm

from rayboot.data.mesh_files import encode_mesh
from rayboot.data.photos import list_photos
from rayboot.data.storage import join_uri, require_writable, write_bytes
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.surface import surface_of_cells
from rayboot.models import NetworkConfig, read_config
from rayboot.models.config import InferenceConfig
from rayboot.pipeline.listing import mark_duplicates
from rayboot.pipeline.read import ReadPhotos
from rayboot.pipeline.reconstruct import ReconstructFaces
from rayboot.pipeline.rows import Row, map_rows, rows_of, solid_of
from rayboot.registry.models import resolve_weights
from rayboot.render.colors import paint_mesh

__all__ = ["MeshPlan", "MeshSummary", "WriteMeshes", "prepare_meshes", "reconstruct_photos"]

_INDEX = "index.parquet"

_KINDS: tuple[Literal["ply", "glb"], ...] = ("ply", "glb")

_INDEX_SCHEMA = pa.schema(
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


class MeshPlan(NamedTuple):
    """A checked request."""

    weights: Path
    network: NetworkConfig
    photos: pa.Table
    output: str


class MeshSummary(NamedTuple):
    """Meshes written, and photos that gave none by (stage, reason)."""

    num_meshes: int
    rejects: Mapping[tuple[str, str], int]


def prepare_meshes(
    model: str, input_uri: str, output_uri: str, tracking_uri: str | None = None
) -> MeshPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: model or photos are missing, or the output cannot be written.
    """
    weights = resolve_weights(model, tracking_uri)
    photos = mark_duplicates(list_photos(input_uri, include_test=True))
    require_writable(output_uri)
    return MeshPlan(weights, read_config(weights), photos, output_uri)


def reconstruct_photos(plan: MeshPlan, *, gpus: float = 0.0, batch_size: int = 16) -> MeshSummary:
    """Writes ``STEM.ply`` and ``STEM.glb`` for every face; Ray must be initialised.

    Vertices are in the frame of the face's crop (x right, y up, z towards the
    viewer, px); ``index.parquet`` has the crop's affine, and the reason where a
    photo gave no mesh.

    Args:
        plan: from :func:`prepare_meshes`.
        gpus: of the network's actor.
        batch_size: photos that the network takes at once.
    """
    size = plan.network.resolution
    shape = (plan.network.slices, size, size)
    photos = ray.data.from_arrow(plan.photos).repartition(max(1, len(plan.photos) // 32))
    cropped = photos.map_batches(
        ReadPhotos(size, None, detect_faces=True),
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=0.1,
        compute=TaskPoolStrategy(size=2),
    )
    reconstructed = cropped.map_batches(
        ReconstructFaces,
        fn_constructor_kwargs={
            "weights": str(plan.weights),
            "config": InferenceConfig(),
            "batch_size": batch_size,
            "use_gpu": gpus > 0,
        },
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=0.9,
        num_gpus=gpus or None,
        compute=ActorPoolStrategy(size=1),
    )
    written = reconstructed.map_batches(
        WriteMeshes(shape, plan.output),
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=0.5,
        compute=TaskPoolStrategy(size=2),
    )
    try:
        rows = list(tqdm(written.iter_rows(), total=len(plan.photos), desc="mesh", unit="photo"))
    finally:
        # A failed run's actors keep their CPUs until its exception's cycle is collected.
        gc.collect()
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_INDEX_SCHEMA).sort_by("face_id"), buffer)
    write_bytes(join_uri(plan.output, _INDEX), buffer.getvalue())
    rejects = Counter((row["stage"], row["reason"]) for row in rows if row["reason"])
    return MeshSummary(len(rows) - sum(rejects.values()), rejects)


class WriteMeshes:
    """Volume to a coloured mesh, written as PLY and GLB.

    Reads    image, occupancy, cells, box
    Gives    rows of the index: files written, or the reason
    """

    def __init__(self, shape: tuple[int, int, int], output: str) -> None:
        self._shape, self._output = shape, output

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch."""
        rows = map_rows(rows_of(table), self._process)
        names = _INDEX_SCHEMA.names
        kept = [{name: row.get(name) for name in names} for row in rows]
        return pa.Table.from_pylist(kept, schema=_INDEX_SCHEMA)

    def _process(self, row: Row) -> Row:
        size = self._shape[2]
        photo = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        solid = solid_of(row, self._shape, 0).without_specks()
        try:
            mesh = surface_of_cells(solid.cells, self._shape, 0)
        except DegenerateInputError as error:
            raise FaceRejectedError("reconstruct", "degenerate", str(error)) from error
        # Any pose may come here, so no plane of symmetry is asked for.
        painted = paint_mesh(mesh, photo, None, "mirrored")
        payloads = {kind: encode_mesh(painted, kind) for kind in _KINDS}
        # The photo's suffix stays in the name: a.jpg and a.png are two faces.
        stem = "_".join(posixpath.splitext(row["face_id"])).replace("_.", "_")
        names: Row = {kind: f"{stem}.{kind}" for kind in payloads}
        for kind, payload in payloads.items():
            write_bytes(join_uri(self._output, names[kind]), payload)
        return names
