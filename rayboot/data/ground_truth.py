"""The truth that lies beside a synthesised set: volumes, vertices, poses.

``truth/part-NNNNN.parquet`` has a row a photo, ``truth/topology.npz`` the triangles
that all true faces share. Everything is in the frame of the photo's crop.
"""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.errors import RequestError, ShapeError
from rayboot.io.storage import join_uri, list_files, read_bytes, write_bytes

__all__ = [
    "TRUTH_SCHEMA",
    "decode_vertices",
    "read_topology",
    "truth_table",
    "write_topology",
    "write_truth",
]

_vector = pa.list_(pa.float32())

TRUTH_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("group_id", pa.string()),
        # (2, 3), photo px to crop px.
        ("crop", pa.list_(pa.float64())),
        ("shape", pa.list_(pa.int32())),
        ("occupancy", pa.binary()),
        # Identity, expression, (3, 4) from the head's frame to the crop's: little-endian float32.
        ("head", pa.binary()),
        # (N, 3) little-endian float32.
        ("vertices", pa.binary()),
        # (68, 3), px.
        ("landmarks", _vector),
        ("symmetry_normal", _vector),
        ("gaze", _vector),
        ("up", _vector),
        ("yaw_deg", pa.float64()),
        ("pitch_deg", pa.float64()),
        ("roll_deg", pa.float64()),
        # 3D distance of the outer eye corners, px.
        ("interocular", pa.float64()),
    ]
)

_TOPOLOGY = "truth/topology.npz"


def truth_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """The rows of a set's truth, sorted by ``face_id``, which is always among ``columns``.

    Raises:
        RequestError: there is no truth at ``uri``.
    """
    names = sorted(name for name in list_files(uri, "truth") if name.endswith(".parquet"))
    if not names:
        raise RequestError(
            f"{uri}: no truth/*.parquet; give a set that `rayboot synthesize` has written"
        )
    if columns is not None and "face_id" not in columns:
        columns = ["face_id", *columns]
    parts = [
        pq.read_table(io.BytesIO(read_bytes(join_uri(uri, name))), columns=columns)
        for name in names
    ]
    return pa.concat_tables(parts).sort_by("face_id")


def write_truth(uri: str, part: int, table: pa.Table) -> None:
    """Writes one part of a set's truth."""
    buffer = io.BytesIO()
    # Volumes are compressed already, vertices hardly compress.
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(join_uri(uri, f"truth/part-{part:05d}.parquet"), buffer.getvalue())


def write_topology(uri: str, faces: np.ndarray) -> None:
    """Writes the triangles (F, 3) int32 of the true vertices."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, faces=faces)
    write_bytes(join_uri(uri, _TOPOLOGY), buffer.getvalue())


def read_topology(uri: str) -> np.ndarray:
    """The triangles (F, 3) int32 of the true vertices."""
    return np.load(io.BytesIO(read_bytes(join_uri(uri, _TOPOLOGY))))["faces"]


def decode_vertices(payload: bytes) -> np.ndarray:
    """Vertices (N, 3) float64, px, of a truth row.

    Raises:
        ShapeError: the payload is no whole number of points.
    """
    if len(payload) % 12:
        raise ShapeError(f"vertices are 12 bytes a point, got {len(payload)} bytes")
    return np.frombuffer(payload, "<f4").reshape(-1, 3).astype(np.float64)
