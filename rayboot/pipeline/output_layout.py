"""Names of the files that a run keeps below its output, beside what it makes."""

from rayboot.data.readers.run_outputs import RUN_LISTING

__all__ = [
    "CHECKPOINT",
    "FINGERPRINT",
    "FORMER_FINGERPRINT",
    "LEASE",
    "LISTING",
    "LISTING_OPTIONS",
    "MESH_INDEX",
    "MESH_ROWS",
    "TEST_HASHES",
    "TEST_PHOTOS",
]

LISTING = RUN_LISTING
"""The photos that take part, one row each."""

# Without Arrow's own types: dictionaries of strings are plain strings for every reader.
LISTING_OPTIONS = {"row_group_size": 2048, "store_schema": False}
"""Options of the Parquet files that list photos."""

TEST_PHOTOS = "_run/test-photos.parquet"
"""The photos of LS3D-W's test subsets, which are left out."""

TEST_HASHES = "_run/test-pictures.parquet"
"""Perceptual hashes of these photos."""

CHECKPOINT = "_run/checkpoint"
"""Folder of Ray Data's checkpoint: the ids of the finished photos."""

LEASE = "_run/lock.json"
"""Lease of the run that writes to the output."""

FINGERPRINT = "_run/fingerprint.json"
"""Record of the request that the output belongs to."""

FORMER_FINGERPRINT = "_run/stamp.json"
"""Record of the request in outputs of version 0.1."""

MESH_INDEX = "index.parquet"
"""Index of exported meshes, written last."""

MESH_ROWS = "_run/rows"
"""Folder of the rows that the index is made of."""
