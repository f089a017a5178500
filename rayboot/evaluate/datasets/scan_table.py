"""Any other photos of people with scans: a Parquet file, a row a photo.

Columns: ``photo``; ``landmarks``, 136 numbers, column and row of 68 points in photo px, or null;
``mesh``, a PLY, OBJ or GLB in any unit and right-handed frame; ``mesh_landmarks``, 204 numbers,
the same points on it. If wanted ``face_id``, else ``photo`` names the face; ``yaw_deg``; and
``region``, a file of the vertices of this mesh that are measured. Others are left alone.

Files are named by absolute URI, or relative to the table's folder, which they may not leave.
"""

import io
import posixpath
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.mesh_files import MESH_SUFFIXES, decode_mesh
from rayboot.errors import DegenerateInputError, FaceRejectedError, RequestError, ShapeError
from rayboot.evaluate.datasets.base import (
    DatasetListing,
    EvalDataset,
    ExcludedFace,
    GroundTruthFace,
)
from rayboot.evaluate.datasets.face_files import read_face_file, read_photo
from rayboot.evaluate.datasets.region import RegionConfig
from rayboot.evaluate.datasets.scans import Scan, cut_scan, require_detector, true_face
from rayboot.io.retry import retry_io
from rayboot.io.storage import exists, join_uri, read_bytes

__all__ = ["TABLE_SCHEMA", "ScanTableDataset"]

TABLE_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("photo", pa.string()),
        ("landmarks", pa.list_(pa.float64())),
        ("mesh", pa.string()),
        ("mesh_landmarks", pa.list_(pa.float64())),
        ("yaw_deg", pa.float64()),
        ("region", pa.string()),
    ]
)
"""Of a full table; ``photo``, ``mesh`` and ``mesh_landmarks`` must be there."""

_REQUIRED = ("photo", "mesh", "mesh_landmarks")


class ScanTableDataset(EvalDataset):
    """Photos, meshes and the landmarks of both, wherever they lie."""

    truth: ClassVar[str] = "the table's meshes"

    kind: Literal["table"] = "table"
    data: str
    """URI of the Parquet file."""
    region: RegionConfig = RegionConfig()
    """Of meshes whose row names none."""

    def list_faces(self) -> DatasetListing:
        """Its rows, as far as their values can be.

        Raises:
            RequestError: it is no Parquet file with the columns, or the face detector is needed
                and not installed, or the region's file is missing.
        """
        if self.region.file is not None and not exists(self.region.file):
            raise RequestError(f"region {self.region.file}: there is no such file")
        rows: dict[str, dict[str, Any]] = {}
        faults: list[ExcludedFace] = []
        for number, row in enumerate(_read_table(self.data)):
            face_id = str(row.get("face_id") or row["photo"] or f"row {number}")
            try:
                if face_id in rows:
                    raise ValueError("an earlier row has the same face_id")
                rows[face_id] = _checked(face_id, row, posixpath.dirname(self.data))
            except (TypeError, ValueError) as error:
                faults.append(ExcludedFace(face_id, f"row {number}: {error}"))
        bare = sum(row["landmarks"] is None for row in rows.values())
        if bare:
            require_detector()
        note = f"{bare:,} of the photos have no landmarks." if bare else ""
        table = pa.Table.from_pylist(list(rows.values()), TABLE_SCHEMA).sort_by("face_id")
        return DatasetListing(table, faults, note)

    def describe(self) -> dict[str, str]:
        """Which vertices are measured, and how a mesh is laid onto its photo."""
        return {
            **super().describe(),
            "region": f"{self.region.describe()}, unless a row names others",
            "placement": "by the landmarks of photo and mesh where a photo has them, else by each "
            "model's own shape",
        }

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """A photo's crop, and its mesh."""
        region = self.region
        if row["region"] is not None:
            region = RegionConfig(kind="file", file=row["region"])
        marks = np.asarray(row["mesh_landmarks"], np.float64).tobytes()
        scan = _open_scan(row["mesh"], marks, region)
        photo = read_photo(row["photo"])
        landmarks = None
        if row["landmarks"] is not None:
            landmarks = np.reshape(np.asarray(row["landmarks"], np.float64), (68, 2))
        return true_face(row["face_id"], photo, scan, landmarks, size, row["yaw_deg"])


def _read_table(uri: str) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(io.BytesIO(retry_io(lambda: read_bytes(uri), uri)))
    except (OSError, pa.ArrowException) as error:
        raise RequestError(
            f"{uri}: no Parquet file that can be read, which kind table asks for ({error})"
        ) from error
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing or len(table) == 0:
        raise RequestError(
            f"{uri}: expected rows with the columns {', '.join(_REQUIRED)}, got {len(table)} rows "
            f"with {', '.join(table.column_names)}"
        )
    known = [name for name in TABLE_SCHEMA.names if name in table.column_names]
    return table.select(known).to_pylist()


def _checked(face_id: str, row: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """A row of :data:`TABLE_SCHEMA` with absolute names; ``ValueError`` says what is wrong."""
    mesh = _resolved(row["mesh"], "mesh", folder)
    if posixpath.splitext(mesh)[1].lower() not in MESH_SUFFIXES:
        raise ValueError(f"mesh must end in {', '.join(MESH_SUFFIXES)}, got {row['mesh']}")
    landmarks, region, yaw_deg = (row.get(name) for name in ("landmarks", "region", "yaw_deg"))
    return {
        "face_id": face_id,
        "photo": _resolved(row["photo"], "photo", folder),
        "landmarks": None if landmarks is None else _numbers(landmarks, "landmarks", 136),
        "mesh": mesh,
        "mesh_landmarks": _numbers(row["mesh_landmarks"], "mesh_landmarks", 204),
        "yaw_deg": None if yaw_deg is None else _numbers([yaw_deg], "yaw_deg", 1)[0],
        "region": None if region is None else _resolved(region, "region", folder),
    }


def _resolved(name: str | None, column: str, folder: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"{column} must name a file, got {name!r}")
    if "://" in name or name.startswith("/"):
        return name
    inside = posixpath.normpath(name)
    if inside.split("/")[0] == "..":
        raise ValueError(
            f"{column} {name} leaves the table's folder; give an absolute URI for that"
        )
    return join_uri(folder, inside) if folder else inside


def _numbers(values: Any, column: str, count: int) -> list[float]:
    array = np.asarray(values, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{column} must hold {count} finite numbers, got {array.shape}")
    return array.tolist()


# Photos of one person tend to come one after the other.
@lru_cache(maxsize=2)
def _open_scan(uri: str, landmarks: bytes, region: RegionConfig) -> Scan:
    try:
        mesh = decode_mesh(read_face_file(uri), posixpath.splitext(uri)[1])
        return cut_scan(mesh, np.frombuffer(landmarks).reshape(68, 3), region)
    except (DegenerateInputError, ShapeError, RequestError) as error:
        raise FaceRejectedError("read", "unusable-scan", f"{uri}: {error}") from error
