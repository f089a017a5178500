"""Photos of people with scans, listed in a Parquet file with one row per photo.

Columns: ``photo``; ``landmarks``, 136 numbers, column and row of 68 points in photo px, or null;
``mesh``, a PLY, OBJ or GLB in any unit and right-handed frame; ``mesh_landmarks``, 204 numbers,
the same points on the mesh. Optional columns: ``face_id`` (by default ``photo``); ``yaw_deg``; and
``region``, a file of the vertices of this mesh that are measured. Other columns are ignored.

Files are named by absolute URI, or relative to the table's folder, which they may not leave.
"""

import posixpath
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from rayboot.config import Uri
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
from rayboot.evaluate.datasets.scans import Scan, cut_scan, make_true_face, require_detector
from rayboot.io.parquet import read_table
from rayboot.io.retry import retry_io
from rayboot.io.storage import exists, join_uri

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
"""Columns of a full table; ``photo``, ``mesh`` and ``mesh_landmarks`` are required."""

_REQUIRED = ("photo", "mesh", "mesh_landmarks")


class ScanTableDataset(EvalDataset):
    """Photos, meshes and the landmarks of both, at any location."""

    truth: ClassVar[str] = "the table's meshes"

    kind: Literal["table"] = "table"
    """Selects this type of dataset."""
    data: Uri
    """URI of the Parquet file."""
    region: RegionConfig = RegionConfig()
    """Region of meshes whose row names none."""

    def list_faces(self) -> DatasetListing:
        """Lists the rows of the table, except those with invalid values.

        Raises:
            RequestError: The file is not a Parquet file with the required columns, the face
                detector is required and not installed, or the region's file is missing.
        """
        if self.region.file is not None and not exists(self.region.file):
            raise RequestError(f"region {self.region.file}: there is no such file")
        rows: dict[str, dict[str, Any]] = {}
        excluded: list[ExcludedFace] = []
        for number, row in enumerate(_read_rows(self.data)):
            face_id = str(row.get("face_id") or row["photo"] or f"row {number}")
            try:
                if face_id in rows:
                    raise ValueError("an earlier row has the same face_id")
                rows[face_id] = _check_row(face_id, row, posixpath.dirname(self.data))
            except (TypeError, ValueError) as error:
                excluded.append(ExcludedFace(face_id, f"row {number}: {error}"))
        num_without_landmarks = sum(row["landmarks"] is None for row in rows.values())
        note = ""
        if num_without_landmarks:
            require_detector()
            note = f"{num_without_landmarks:,} of the photos have no landmarks."
        table = pa.Table.from_pylist(list(rows.values()), TABLE_SCHEMA).sort_by("face_id")
        return DatasetListing(table, excluded, note)

    def describe(self) -> dict[str, str]:
        """Returns facts about the dataset: its region, and how meshes are aligned with photos."""
        return {
            **super().describe(),
            "region": f"{self.region.describe()}, unless a row names others",
            "placement": "by the landmarks of photo and mesh where a photo has them, else by each "
            "model's own shape",
        }

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        """Returns the crop of a photo, and its mesh."""
        region = self.region
        if row["region"] is not None:
            region = RegionConfig(kind="file", file=row["region"])
        mesh_landmarks = np.asarray(row["mesh_landmarks"], np.float64).tobytes()
        scan = _load_scan(row["mesh"], mesh_landmarks, region)
        photo = read_photo(row["photo"])
        landmarks = None
        if row["landmarks"] is not None:
            landmarks = np.reshape(np.asarray(row["landmarks"], np.float64), (68, 2))
        return make_true_face(row["face_id"], photo, scan, landmarks, size, row["yaw_deg"])


def _read_rows(uri: str) -> list[dict[str, Any]]:
    try:
        table = retry_io(lambda: read_table(uri), uri)
    except (OSError, pa.ArrowException) as error:
        raise RequestError(
            f"{uri}: expected a Parquet file for kind table, but it cannot be read ({error})"
        ) from error
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing or len(table) == 0:
        raise RequestError(
            f"{uri}: expected rows with the columns {', '.join(_REQUIRED)}, got {len(table)} rows "
            f"with {', '.join(table.column_names)}"
        )
    known = [name for name in TABLE_SCHEMA.names if name in table.column_names]
    rows: list[dict[str, Any]] = table.select(known).to_pylist()
    return rows


def _check_row(face_id: str, row: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Returns a row of :data:`TABLE_SCHEMA` with absolute file names.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: A value is invalid.
    """
    mesh = _resolve(row["mesh"], "mesh", folder)
    if posixpath.splitext(mesh)[1].lower() not in MESH_SUFFIXES:
        raise ValueError(f"mesh must end in {', '.join(MESH_SUFFIXES)}, got {row['mesh']}")
    landmarks, region, yaw_deg = (row.get(name) for name in ("landmarks", "region", "yaw_deg"))
    return {
        "face_id": face_id,
        "photo": _resolve(row["photo"], "photo", folder),
        "landmarks": None if landmarks is None else _check_numbers(landmarks, "landmarks", 136),
        "mesh": mesh,
        "mesh_landmarks": _check_numbers(row["mesh_landmarks"], "mesh_landmarks", 204),
        "yaw_deg": None if yaw_deg is None else _check_numbers([yaw_deg], "yaw_deg", 1)[0],
        "region": None if region is None else _resolve(region, "region", folder),
    }


def _resolve(name: str | None, column: str, folder: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"{column} must name a file, got {name!r}")
    if "://" in name or name.startswith("/"):
        return name
    normalized = posixpath.normpath(name)
    if normalized.split("/")[0] == "..":
        raise ValueError(f"{column} {name} leaves the table's folder; give an absolute URI instead")
    return join_uri(folder, normalized) if folder else normalized


def _check_numbers(values: Any, column: str, count: int) -> list[float]:
    array = np.asarray(values, np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{column} must hold {count} finite numbers, got {array.shape}")
    numbers: list[float] = array.tolist()
    return numbers


# Photos of one person tend to be consecutive.
@lru_cache(maxsize=2)
def _load_scan(uri: str, landmarks: bytes, region: RegionConfig) -> Scan:
    try:
        mesh = decode_mesh(read_face_file(uri), posixpath.splitext(uri)[1])
        return cut_scan(mesh, np.frombuffer(landmarks).reshape(68, 3), region)
    except (DegenerateInputError, ShapeError, RequestError) as error:
        raise FaceRejectedError("read", "unusable-scan", f"{uri}: {error}") from error
