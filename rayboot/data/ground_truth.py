"""The ground truth of a synthesised data set: volumes, vertices and poses.

``truth/part-NNNNN.parquet`` has one row per photo, ``truth/topology.npz`` the triangles that all
meshes share. All of it is in the frame of the photo's crop.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from rayboot.data.row_index import index_rows, read_rows
from rayboot.errors import RequestError, ShapeError, UnfinishedDataError
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import exists, join_uri, list_entries, list_files, read_bytes, write_bytes

__all__ = [
    "TRUTH_SCHEMA",
    "decode_vertices",
    "digest_truth",
    "has_topology",
    "index_truth",
    "list_truth_parts",
    "read_topology",
    "read_truth",
    "read_truth_rows",
    "require_complete_truth",
    "write_topology",
    "write_truth",
]

_vector = pa.list_(pa.float32())

TRUTH_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("group_id", pa.string()),
        # (2, 3) row-major, photo px to crop px.
        ("crop", pa.list_(pa.float64())),
        ("shape", pa.list_(pa.int32())),
        ("occupancy", pa.binary()),
        # Packed by rayboot.geometry.surface_depth.
        ("surface_depth", pa.binary()),
        # Identity and expression coefficients, then the transform (3, 4) from the head's frame to
        # the crop's: little-endian float32.
        ("head", pa.binary()),
        # (N, 3) little-endian float32.
        ("vertices", pa.binary()),
        # (68, 3) row-major, px.
        ("landmarks", _vector),
        ("symmetry_normal", _vector),
        ("gaze", _vector),
        ("up", _vector),
        ("yaw_deg", pa.float64()),
        ("pitch_deg", pa.float64()),
        ("roll_deg", pa.float64()),
        # Distance between the outer corners of the eyes in 3D, px.
        ("interocular", pa.float64()),
    ]
)
"""Columns of the ground truth."""

_TOPOLOGY = "truth/topology.npz"
_PART = re.compile(r"truth/part-(?P<number>\d{5,})\.parquet")


def read_truth(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Reads the ground truth of a data set, sorted by ``face_id``.

    Args:
        uri: URI of the data set.
        columns: Columns of :data:`TRUTH_SCHEMA` to read; ``face_id`` is added. None reads all.

    Raises:
        RequestError: there is no ground truth at ``uri``.
    """
    names = _require_parts(uri)
    if columns is not None and "face_id" not in columns:
        columns = ["face_id", *columns]
    parts = [read_table(join_uri(uri, name), columns) for name in names]
    return pa.concat_tables(parts).sort_by("face_id")


def list_truth_parts(uri: str) -> list[int]:
    """Lists the numbers of the parts that a data set's ground truth has."""
    names = (_PART.fullmatch(name) for name in list_files(uri, "truth"))
    return [int(match["number"]) for match in names if match]


def _require_parts(uri: str) -> list[str]:
    names = [name for name in list_files(uri, "truth") if name.endswith(".parquet")]
    if not names:
        missing = "file" if exists(uri) else "folder"
        raise RequestError(
            f"{uri}: expected ground truth in truth/*.parquet, but there is no such {missing}; "
            "give a data set that `rayboot synthesize` has written"
        )
    return names


def require_complete_truth(uri: str) -> None:
    """Checks that a data set is complete: the triangles are written last.

    Raises:
        RequestError: there is no ground truth at ``uri``.
        UnfinishedDataError: the run that writes the data set has not finished.
    """
    _require_parts(uri)
    if not has_topology(uri):
        raise UnfinishedDataError(
            f"{uri}: there is no {_TOPOLOGY}, so the data set is unfinished; run the same `rayboot "
            "synthesize` again, which completes it"
        )


def digest_truth(uri: str) -> str:
    """Returns a digest (64 hexadecimal digits) of names, sizes and tags of the truth's files."""
    entries = list_entries(uri, "truth")
    text = "\n".join(f"{name} {entry.num_bytes} {entry.tag}" for name, entry in entries.items())
    return hashlib.sha256(text.encode()).hexdigest()


def index_truth(uri: str) -> pa.Table:
    """Locates the rows of a data set's ground truth.

    Returns:
        Columns ``face_id``, ``group_id``, ``file`` (relative to ``uri``) and ``row``, sorted by
        ``face_id``.

    Raises:
        RequestError: there is no ground truth at ``uri``.
        StoreError: the store stays unavailable.
    """
    return index_rows(uri, _require_parts(uri), ["face_id", "group_id"])


def read_truth_rows(uri: str, index: pa.Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Reads rows of a data set's ground truth, in the order of the index.

    Args:
        uri: URI of the data set.
        index: from :func:`index_truth`, or a part of it.
        columns: Columns of :data:`TRUTH_SCHEMA` to read, ``face_id`` among them.

    Raises:
        StoreError: the store stays unavailable.
    """
    return read_rows(
        index, uri, lambda name, rows: read_table(join_uri(uri, name), columns).take(rows)
    )


def write_truth(uri: str, part: int, table: pa.Table) -> None:
    """Writes one part of a data set's ground truth, rows of :data:`TRUTH_SCHEMA`."""
    # Volumes are compressed already, and vertices hardly compress.
    write_table(join_uri(uri, f"truth/part-{part:05d}.parquet"), table, compression="zstd")


def write_topology(uri: str, faces: np.ndarray) -> None:
    """Writes the triangles (F, 3) int32 that all meshes of the ground truth share."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, faces=faces)
    write_bytes(join_uri(uri, _TOPOLOGY), buffer.getvalue())


def has_topology(uri: str) -> bool:
    """Whether the triangles are written, which makes the data set complete."""
    return exists(join_uri(uri, _TOPOLOGY))


def read_topology(uri: str) -> np.ndarray:
    """Reads the triangles (F, 3) int32 that all meshes of the ground truth share."""
    return np.asarray(np.load(io.BytesIO(read_bytes(join_uri(uri, _TOPOLOGY))))["faces"])


def decode_vertices(payload: bytes) -> np.ndarray:
    """Decodes the vertices (N, 3) float64, px, of a row of the ground truth.

    Raises:
        ShapeError: the payload does not contain a whole number of points.
    """
    if len(payload) % 12:
        raise ShapeError(
            f"vertices must be a multiple of 12 bytes, 3 float32 each, got {len(payload)} bytes"
        )
    return np.frombuffer(payload, "<f4").reshape(-1, 3).astype(np.float64)
