"""What a run takes part in: the photos of its inputs, and which are met twice."""

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from rayboot.data.photos import list_photos
from rayboot.data.storage import read_bytes
from rayboot.errors import RequestError

__all__ = ["list_inputs", "mark_duplicates"]


def list_inputs(inputs: str | Sequence[str]) -> pa.Table:
    """The photos of one data set, or of several under their folders' names.

    Raises:
        RequestError: one has no photo, or two have the same name.
    """
    if isinstance(inputs, str):
        return list_photos(inputs)
    names = [posixpath.basename(uri.rstrip("/")) for uri in inputs]
    if len(set(names)) != len(names) or not names:
        raise RequestError(
            f"several inputs need folders of different names, since these begin every face_id; "
            f"got {', '.join(inputs) or 'none'}"
        )
    tables = [_prefixed(list_photos(uri), name) for uri, name in zip(inputs, names, strict=True)]
    return pa.concat_tables(tables)


def _prefixed(photos: pa.Table, name: str) -> pa.Table:
    for column in ("face_id", "group_id"):
        values = [f"{name}/{value}" for value in photos[column].to_pylist()]
        photos = photos.set_column(photos.schema.get_field_index(column), column, pa.array(values))
    dataset = pa.array([name] * len(photos), pa.string())
    return photos.set_column(photos.schema.get_field_index("dataset"), "dataset", dataset)


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
