"""Mesh stage: reconstructed faces to mesh files in the output folder."""

from functools import partial

import numpy as np
import pyarrow as pa

from rayboot.data.images import decode_photo
from rayboot.data.mesh_files import encode_face_mesh
from rayboot.data.obj_files import encode_face_obj
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.isosurface import extract_coarse_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import MeshUnit, units_per_pixel
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_below, write_bytes
from rayboot.pipeline.export_request import MeshKind
from rayboot.pipeline.mesh_names import face_mesh_name
from rayboot.pipeline.stages.records import Row, decode_solid, map_rows, table_to_rows
from rayboot.render.texturing import color_vertices

__all__ = ["INDEX_SCHEMA", "ROW_SCHEMA", "WriteMeshes"]

INDEX_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        # (2, 3) row-major affine from source px to crop px: the place of the mesh in the photo.
        ("crop", pa.list_(pa.float64())),
        # Number of faces that the detector found; null where landmarks mark the face.
        ("num_people", pa.int32()),
        # Why the photo's landmark file was not used and the face detected instead.
        ("unused_landmarks", pa.string()),
        # The one that the mesh shows, as "1 of 2", the largest first; null likewise.
        ("face", pa.string()),
        # Length of a pixel of the crop in the mesh's unit, "metre" or "pixel".
        ("unit", pa.string()),
        ("units_per_pixel", pa.float64()),
        ("ply", pa.string()),
        ("glb", pa.string()),
        ("obj", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)
"""Columns of the index, which has one row for each face and for each photo without any."""

ROW_SCHEMA = INDEX_SCHEMA.append(
    # The rows of the index that a photo has if all its faces are exported; null for one row.
    pa.field("faces", pa.list_(pa.struct(list(INDEX_SCHEMA))))
)
"""Columns of the rows that the stage gives, one for each photo."""


class WriteMeshes:
    """Occupancy volume to a mesh in the photo's colours, written in every format of ``kinds``.

    Reads    mesh_name, image, closeup, occupancy, cells, box; or faces, each with all but the name
    Gives    rows of :data:`ROW_SCHEMA`: the names of the files, or the reason of a reject

    Args:
        shape: (D, H, W) of the network's volume.
        output: URI of the folder that receives the files.
        kinds: file formats of the meshes, each also the suffix of its files.
        numbered: whether the names of meshes end in the number of the face in its photo.
        unit: unit of the vertices.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        output: str,
        kinds: tuple[MeshKind, ...],
        numbered: bool = False,
        unit: MeshUnit = "pixel",
    ) -> None:
        self._shape, self._output, self._kinds = shape, output, kinds
        self._numbered, self._unit = numbered, unit
        self._units_per_pixel = units_per_pixel(unit, shape[2])

    def __call__(self, table: pa.Table) -> pa.Table:
        """Writes the meshes of one batch of reconstructed faces."""
        rows = [self._write_photo(row) for row in table_to_rows(table)]
        return pa.Table.from_pylist(rows, schema=ROW_SCHEMA)

    def _write_photo(self, row: Row) -> Row:
        """Returns the row of one photo."""
        if row["reason"] or row["faces"] is None:
            return self._write_face(row, 1)
        fields = {name: row[name] for name in ("face_id", "source_uri", "num_people", "mesh_name")}
        faces = [
            self._write_face({**fields, **face}, number)
            for number, face in enumerate(row["faces"], 1)
        ]
        return {**{name: row.get(name) for name in INDEX_SCHEMA.names}, "faces": faces}

    def _write_face(self, row: Row, number: int) -> Row:
        """Returns the row of one face in the index."""
        if self._numbered:
            row = {**row, "mesh_name": face_mesh_name(row["mesh_name"], number)}
        (written,) = map_rows([row], self._process)
        index_row = {name: written.get(name) for name in INDEX_SCHEMA.names}
        if row["num_people"] is not None:
            index_row["face"] = f"{number} of {row['num_people']}"
        return index_row

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
        for name, payload in self._encode(colored, crop, row["closeup"], file_names).items():
            uri = join_below(self._output, name)
            try:
                retry_io(partial(write_bytes, uri, payload), uri)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                message = f"{uri} cannot be written ({error}); rename the photo, or choose another"
                raise FaceRejectedError("reconstruct", "name-taken", f"{message} output") from error
        return {**file_names, "unit": self._unit, "units_per_pixel": self._units_per_pixel}

    def _encode(
        self, mesh: Mesh, crop: np.ndarray, closeup: bytes | None, file_names: Row
    ) -> dict[str, bytes]:
        """Returns the contents of all files by their names."""
        files: dict[str, bytes] = {}
        for kind in self._kinds:
            name = file_names[kind]
            if kind == "obj":
                fine = None if closeup is None else decode_photo(closeup)
                files |= encode_face_obj(mesh, crop, fine, name, self._unit)
            else:
                files[name] = encode_face_mesh(mesh, kind, len(crop), self._unit)
        return files

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
