"""Columns of a pairs data set."""

import pyarrow as pa

__all__ = ["FACE_COLUMNS", "PAIRS_SCHEMA", "REJECT_COLUMNS", "SCHEMA_VERSION", "VIEW_TYPE"]

SCHEMA_VERSION = 2

_vector = pa.list_(pa.float32())

VIEW_TYPE = pa.struct(
    [
        # The turn that was applied.
        ("yaw_deg", pa.float32()),
        ("pitch_deg", pa.float32()),
        # (3, 4) row-major, from the source crop's frame to the view's.
        ("transform", _vector),
        # Where the face looks after it.
        ("view_gaze", _vector),
        # Towards the light that was put on it, in the view's frame, its strength as length; null
        # for the photo's own.
        ("light", _vector),
        # Share of the target outside the volume.
        ("clipped", pa.float32()),
        ("image", pa.binary()),
    ]
)

_BOTH = [("face_id", pa.string()), ("source_uri", pa.string())]

_FACE = [
    ("content_hash", pa.string()),
    ("group_id", pa.string()),
    ("dataset", pa.string()),
    ("split", pa.string()),
    # (2, 3) row-major, source px to crop px.
    ("crop", pa.list_(pa.float64())),
    ("image", pa.binary()),
    # "occupancy", or what else the network learns from; then it lies in "target".
    ("target_kind", pa.string()),
    ("target", pa.binary()),
    # Bits, C order, zstd; of shape (D, H, W).
    ("occupancy", pa.binary()),
    ("shape", pa.list_(pa.int32())),
    ("symmetry_normal", _vector),
    ("gaze", _vector),
    ("up", _vector),
    ("centroid", _vector),
    ("pose_confidence", pa.float32()),
    ("views", pa.list_(VIEW_TYPE)),
    ("num_views_left_out", pa.int32()),
    ("model_version", pa.string()),
    ("round_index", pa.int32()),
    ("config_digest", pa.string()),
]

_REJECT = [
    ("stage", pa.string()),
    ("reason", pa.string()),
    ("message", pa.string()),
    ("thumbnail", pa.binary()),
]

FACE_COLUMNS = tuple(name for name, _ in _BOTH + _FACE)
REJECT_COLUMNS = tuple(name for name, _ in _BOTH + _REJECT)

PAIRS_SCHEMA = pa.schema([("outcome", pa.string()), *_BOTH, *_FACE, *_REJECT])
"""Of the rows that are written: faces and rejects in one pass, each with the other's
columns null; ``outcome`` becomes the folder."""
