"""The ground truth of a synthesised data set: volumes, vertices and poses.

``truth/part-NNNNN.parquet`` has one row per photo, ``truth/topology.npz`` the triangles that all
meshes share. All of it is in the frame of the photo's crop.
"""

import io

import numpy as np
import pyarrow as pa

from rayboot.errors import RequestError, ShapeError
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import join_uri, list_files, read_bytes, write_bytes

__all__ = [
    "TRUTH_SCHEMA",
    "decode_vertices",
    "read_topology",
    "read_truth",
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


def read_truth(uri: str, columns: list[str] | None = None) -> pa.Table:
    """Reads the ground truth of a data set, sorted by ``face_id``.

    Args:
        uri: URI of the data set.
        columns: Columns of :data:`TRUTH_SCHEMA` to read; ``face_id`` is added. None reads all.

    Raises:
        RequestError: there is no ground truth at ``uri``.
    """
    names = sorted(name for name in list_files(uri, "truth") if name.endswith(".parquet"))
    if not names:
        raise RequestError(
            f"{uri}: expected ground truth in truth/*.parquet, but there is no such file; give a "
            "data set that `rayboot synthesize` has written"
        )
    if columns is not None and "face_id" not in columns:
        columns = ["face_id", *columns]
    parts = [read_table(join_uri(uri, name), columns) for name in names]
    return pa.concat_tables(parts).sort_by("face_id")


def write_truth(uri: str, part: int, table: pa.Table) -> None:
    """Writes one part of a data set's ground truth, rows of :data:`TRUTH_SCHEMA`."""
    # Volumes are compressed already, and vertices hardly compress.
    write_table(join_uri(uri, f"truth/part-{part:05d}.parquet"), table, compression="zstd")


def write_topology(uri: str, faces: np.ndarray) -> None:
    """Writes the triangles (F, 3) int32 that all meshes of the ground truth share."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, faces=faces)
    write_bytes(join_uri(uri, _TOPOLOGY), buffer.getvalue())


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
