"""Names of the files that a run keeps below its output, beside what it makes."""

__all__ = [
    "CHECKPOINT",
    "FINGERPRINT",
    "FORMER_FINGERPRINT",
    "LEASE",
    "LISTING",
    "TEST_PHOTOS",
]

LISTING = "_run/listing.parquet"
"""The photos that take part, one row each."""

TEST_PHOTOS = "_run/test-photos.parquet"
"""The photos of LS3D-W's test subsets, which are left out."""

CHECKPOINT = "_run/checkpoint"
"""Folder of Ray Data's checkpoint: the ids of the finished photos."""

LEASE = "_run/lock.json"
"""Lease of the run that writes to the output."""

FINGERPRINT = "_run/fingerprint.json"
"""Record of the request that the output belongs to."""

FORMER_FINGERPRINT = "_run/stamp.json"
"""Record of the request in outputs of version 0.1."""
