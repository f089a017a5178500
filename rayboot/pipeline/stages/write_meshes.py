"""Volume to a coloured mesh, written as files."""

import posixpath
from functools import partial

import numpy as np
import pyarrow as pa

from rayboot.data.mesh_files import encode_mesh
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.isosurface import extract_coarse_surface
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_below, write_bytes
from rayboot.pipeline.export_request import MeshKind
from rayboot.pipeline.stages.records import Row, decode_solid, map_rows, table_to_rows
from rayboot.render.texturing import color_vertices

__all__ = ["INDEX_SCHEMA", "WriteMeshes"]

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
