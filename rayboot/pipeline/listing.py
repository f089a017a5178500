"""Photos that are met twice."""

import hashlib
from collections import defaultdict

import pyarrow as pa

from rayboot.data.storage import read_bytes

__all__ = ["mark_duplicates"]


def mark_duplicates(photos: pa.Table) -> pa.Table:
    """Adds ``duplicate_of``: the first photo with the same bytes and landmarks, or null.

    Only photos that share their size with another one are read.

    Args:
        photos: of :data:`rayboot.data.photos.PHOTO_SCHEMA`, in a fixed order.
    """
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, size in enumerate(photos["num_bytes"].to_pylist()):
        by_size[size].append(index)
    duplicate_of: list[str | None] = [None] * len(photos)
    first: dict[str, str] = {}
    for index in sorted(i for same in by_size.values() if len(same) > 1 for i in same):
        row = photos.slice(index, 1).to_pylist()[0]
        digest = _digest(row["source_uri"], row["landmarks_uri"])
        duplicate_of[index] = first.get(digest)
        first.setdefault(digest, row["face_id"])
    return photos.append_column("duplicate_of", pa.array(duplicate_of, pa.string()))


def _digest(source_uri: str, landmarks_uri: str | None) -> str:
    content = hashlib.sha256(read_bytes(source_uri))
    if landmarks_uri is not None:
        content.update(read_bytes(landmarks_uri))
    return content.hexdigest()
