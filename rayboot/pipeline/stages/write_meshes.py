"""Mesh stage: reconstructed faces to mesh files in the output folder."""

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
        # (2, 3) row-major affine from source px to crop px: the place of the mesh in the photo.
        ("crop", pa.list_(pa.float64())),
        # Number of faces that the detector found, of which the mesh shows the largest; null where
        # landmarks mark the face.
        ("num_people", pa.int32()),
        # Why the photo's landmark file was not used and the face detected instead.
        ("unused_landmarks", pa.string()),
        ("ply", pa.string()),
        ("glb", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)


class WriteMeshes:
    """Occupancy volume to a mesh with coloured vertices, written in one file per format.

    Reads    mesh_name, image, occupancy, cells, box
    Gives    rows of :data:`INDEX_SCHEMA`: the names of the files, or the reason of a reject

    Args:
        shape: (D, H, W) of the network's volume.
        output: URI of the folder that receives the files.
        kinds: file formats of the meshes, each also the suffix of its files.
    """

    def __init__(
        self, shape: tuple[int, int, int], output: str, kinds: tuple[MeshKind, ...]
    ) -> None:
        self._shape, self._output, self._kinds = shape, output, kinds

    def __call__(self, table: pa.Table) -> pa.Table:
        """Writes the meshes of one batch of reconstructed faces."""
        rows = map_rows(table_to_rows(table), self._process)
        names = INDEX_SCHEMA.names
        index_rows = [{name: row.get(name) for name in names} for row in rows]
        return pa.Table.from_pylist(index_rows, schema=INDEX_SCHEMA)

    def _process(self, row: Row) -> Row:
        file_names = self._file_names(row)
        size = self._shape[2]
        crop = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        solid = decode_solid(row, self._shape, 0).without_small_components()
        try:
            mesh = extract_coarse_surface(solid.cells, self._shape, 0)
        except DegenerateInputError as error:
            raise FaceRejectedError("reconstruct", "degenerate", str(error)) from error
        # Photos of any pose are accepted here, so no symmetry plane is estimated.
        colored = color_vertices(mesh, crop, None, "mirrored")
        payloads = {kind: encode_mesh(colored, kind) for kind in self._kinds}
        for kind, payload in payloads.items():
            uri = join_below(self._output, file_names[kind])
            try:
                retry_io(partial(write_bytes, uri, payload), uri)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                message = f"{uri} cannot be written ({error}); rename the photo, or choose another"
                raise FaceRejectedError("reconstruct", "name-taken", f"{message} output") from error
        return file_names

    def _file_names(self, row: Row) -> Row:
        """Returns the file name of each format; a ``face_id`` from a table may hold any text.

        Raises:
            FaceRejectedError: a name would lead out of the output folder.
        """
        names: Row = {kind: f"{row['mesh_name']}.{kind}" for kind in self._kinds}
        try:
            for name in names.values():
                join_below(self._output, name)
        except ValueError as error:
            raise FaceRejectedError("reconstruct", "unsafe-name", str(error)) from error
        return names
