"""Columns of a pairs data set, and the version of its schema."""

import pyarrow as pa

__all__ = [
    "FACE_COLUMNS",
    "PAIRS_SCHEMA",
    "REJECT_COLUMNS",
    "SCHEMA_VERSION",
    "VIEW_TYPE",
    "target_column",
]

SCHEMA_VERSION = 3
"""Version that is stored in manifests; older versions are read too. Version 3 added
``surface_depth``, ``num_people`` and ``unused_landmarks``."""

_vector = pa.list_(pa.float32())

VIEW_TYPE = pa.struct(
    [
        # The rotation that was applied.
        ("yaw_deg", pa.float32()),
        ("pitch_deg", pa.float32()),
        # (3, 4) row-major, from the source crop's frame to the view's.
        ("transform", _vector),
        # Direction that the face looks in after the rotation.
        ("view_gaze", _vector),
        # Direction towards the light that was added, in the view's frame, its length the
        # strength; null where the lighting of the photo is kept.
        ("light", _vector),
        # Fraction of the target outside the volume.
        ("clipped", pa.float32()),
        ("image", pa.binary()),
    ]
)
"""Type of one rotated view of a face."""

_COMMON = [
    ("face_id", pa.string()),
    ("source_uri", pa.string()),
    # Why the landmark file of the photo was not used and the face detected instead: "unreadable",
    # "wrong-shape" or "unseen"; null otherwise.
    ("unused_landmarks", pa.string()),
]

_FACE = [
    ("content_hash", pa.string()),
    ("group_id", pa.string()),
    ("dataset", pa.string()),
    ("split", pa.string()),
    # Number of faces that the detector found in the photo, of which this is the largest; null
    # where landmarks mark the face.
    ("num_people", pa.int32()),
    # (2, 3) row-major, source px to crop px.
    ("crop", pa.list_(pa.float64())),
    ("image", pa.binary()),
    # Kind of target that the network learns from: "occupancy" or "surface_depth", which are columns
    # of their own, or another one, stored in "target".
    ("target_kind", pa.string()),
    ("target", pa.binary()),
    # Bits of an array of ``shape`` (D, H, W), in C order, compressed by zstd.
    ("occupancy", pa.binary()),
    # Depth maps of front and back, packed by rayboot.geometry.surface_depth.
    ("surface_depth", pa.binary()),
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

FACE_COLUMNS = tuple(name for name, _ in _COMMON + _FACE)
"""Columns of the files in ``outcome=face``."""

REJECT_COLUMNS = tuple(name for name, _ in _COMMON + _REJECT)
"""Columns of the files in ``outcome=reject``."""

PAIRS_SCHEMA = pa.schema([("outcome", pa.string()), *_COMMON, *_FACE, *_REJECT])
"""Columns of the rows that are written. Faces and rejects are written in one pass, each with the
other's columns null; ``outcome`` becomes the folder."""


def target_column(target_kind: str) -> str:
    """Returns the column that stores targets of a kind."""
    return target_kind if target_kind in ("occupancy", "surface_depth") else "target"
