"""What a run takes part in: the photos of its inputs, and which are met twice."""

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.photos import list_photos
from rayboot.data.pictures import KnownPictures
from rayboot.errors import FaceRejectedError, RequestError

__all__ = ["know_pictures", "list_inputs", "mark_duplicates", "thin_videos"]

_AT_ONCE = 256
"""Photos that are read together to be compared."""


def list_inputs(inputs: str | Sequence[str], *, include_test: bool = False) -> pa.Table:
    """The photos of one data set, or of several under their folders' names.

    Args:
        inputs: URIs.
        include_test: whether LS3D-W's test subsets take part.

    Raises:
        RequestError: one has no photo, or two have the same name.
    """
    if isinstance(inputs, str):
        return list_photos(inputs, include_test=include_test)
    names = [posixpath.basename(uri.rstrip("/")) for uri in inputs]
    if len(set(names)) != len(names) or not names:
        raise RequestError(
            f"several inputs need folders of different names, since these begin every face_id; "
            f"got {', '.join(inputs) or 'none'}"
        )
    tables = [
        _prefixed(list_photos(uri, include_test=include_test), name)
        for uri, name in zip(inputs, names, strict=True)
    ]
    return pa.concat_tables(tables)


def _prefixed(photos: pa.Table, name: str) -> pa.Table:
    for column in ("face_id", "group_id"):
        values = [f"{name}/{value}" for value in photos[column].to_pylist()]
        photos = photos.set_column(photos.schema.get_field_index(column), column, pa.array(values))
    dataset = pa.array([name] * len(photos), pa.string())
    return photos.set_column(photos.schema.get_field_index("dataset"), "dataset", dataset)


def thin_videos(photos: pa.Table, step: int) -> pa.Table:
    """Every ``step``-th frame of each video, from its first on; photos that are no frames stay.

    Args:
        photos: of :data:`rayboot.data.photos.PHOTO_SCHEMA`, in a fixed order.
        step: 1 keeps all.
    """
    if step == 1:
        return photos
    met: Counter[str] = Counter()
    kept = []
    for group, is_frame in zip(
        photos["group_id"].to_pylist(), photos["is_frame"].to_pylist(), strict=True
    ):
        kept.append(not is_frame or met[group] % step == 0)
        met[group] += 1
    return photos.filter(pa.array(kept))


def mark_duplicates(photos: pa.Table) -> pa.Table:
    """Adds ``duplicate_of``: the first photo with the same bytes and landmarks, or null.

    Where the store tags contents, nothing is read; elsewhere only photos that share
    their size with another one are.

    Args:
        photos: of :data:`rayboot.data.photos.PHOTO_SCHEMA`, in a fixed order.
    """
    tags: list[str | None] = photos["tag"].to_pylist()
    sizes = photos["num_bytes"].to_pylist()
    untagged = [index for index, tag in enumerate(tags) if tag is None]
    shared = Counter(sizes[index] for index in untagged)
    # A Parquet file tells no sizes: of its photos any two may be the same.
    suspects = [i for i in untagged if sizes[i] is None or shared[sizes[i]] > 1]
    for index, digest in zip(
        suspects, _digests(photos.take(pa.array(suspects, pa.int64()))), strict=True
    ):
        tags[index] = digest
    first: dict[str, str] = {}
    duplicate_of: list[str | None] = []
    for face_id, tag in zip(photos["face_id"].to_pylist(), tags, strict=True):
        before = None if tag is None else first.setdefault(tag, face_id)
        duplicate_of.append(None if before == face_id else before)
    return photos.append_column("duplicate_of", pa.array(duplicate_of, pa.string()))


def _digests(photos: pa.Table) -> Iterator[str | None]:
    """Of photo and landmarks together; None for what cannot be read, which a later stage says."""
    for fetched in _fetch_all(photos):
        if isinstance(fetched, FaceRejectedError):
            yield None
        else:
            content = hashlib.sha256(fetched.photo)
            content.update(hashlib.sha256(fetched.landmarks or b"").digest())
            yield content.hexdigest()


def know_pictures(photos: pa.Table) -> KnownPictures:
    """The pictures of listed photos, to find them again among others."""
    return KnownPictures.of(_decoded(photos))


def _decoded(photos: pa.Table) -> Iterator[tuple[str, bytes, np.ndarray]]:
    names = photos["face_id"].to_pylist()
    for name, fetched in zip(names, _fetch_all(photos), strict=True):
        if isinstance(fetched, FaceRejectedError):
            continue
        try:
            yield name, fetched.photo, decode_photo(fetched.photo)
        except FaceRejectedError:  # then no other photo can be told to be the same
            continue


def _fetch_all(photos: pa.Table) -> Iterator[FetchedPhoto | FaceRejectedError]:
    fetcher = PhotoFetcher()
    for start in range(0, len(photos), _AT_ONCE):
        yield from fetcher.fetch(photos.slice(start, _AT_ONCE).to_pylist())
