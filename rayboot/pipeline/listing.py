"""What a run takes part in: the photos of its inputs, and which are met twice."""

import hashlib
import posixpath
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.perceptual_hash import HashIndex
from rayboot.data.readers.directory import PHOTO_SCHEMA, list_photos
from rayboot.errors import FaceRejectedError, RequestError

__all__ = ["build_hash_index", "list_inputs", "mark_duplicates", "subsample_videos"]

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
        _prefixed(list_photos(uri, include_test=include_test), name).cast(PHOTO_SCHEMA)
        for uri, name in zip(inputs, names, strict=True)
    ]
    return pa.concat_tables(tables)


def _prefixed(photos: pa.Table, name: str) -> pa.Table:
    for column in ("face_id", "group_id"):
        values = pc.binary_join_element_wise(name, photos[column], "/")
        photos = photos.set_column(photos.schema.get_field_index(column), column, values)
    dataset = pa.repeat(name, len(photos))
    return photos.set_column(photos.schema.get_field_index("dataset"), "dataset", dataset)


def subsample_videos(photos: pa.Table, step: int) -> pa.Table:
    """Every ``step``-th frame of each video, from its first on; photos that are no frames stay.

    Args:
        photos: of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, in a fixed order.
        step: 1 keeps all.
    """
    if step == 1:
        return photos
    groups = _codes(photos["group_id"])
    by_group = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(groups[by_group], prepend=-2))
    place = np.empty(len(groups), np.int64)
    place[by_group] = np.arange(len(groups)) - first[groups[by_group]]
    is_frame = photos["is_frame"].to_numpy()
    return photos.filter(pa.array(~is_frame | (place % step == 0)))


def mark_duplicates(photos: pa.Table) -> pa.Table:
    """Adds ``duplicate_of``: the first photo with the same bytes and landmarks, or null.

    Where the store tags contents, nothing is read; elsewhere only photos that share
    their size with another one are.

    Args:
        photos: of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, in a fixed order.
    """
    tags = photos["tag"]
    suspects = _suspects(photos)
    if len(suspects):
        digests = list(_digests(photos.take(pa.array(suspects))))
        mask = np.zeros(len(tags), bool)
        mask[suspects] = True
        tags = _wide(tags).combine_chunks()
        tags = pc.replace_with_mask(tags, pa.array(mask), pa.array(digests, tags.type))
    # Numbered as they are met: a photo is the first of its kind where the number is a new one.
    codes = _codes(tags)
    newest = np.maximum.accumulate(codes)
    is_first = codes > np.concatenate(([-1], newest[:-1]))
    again = np.flatnonzero((codes >= 0) & ~is_first)
    first = np.flatnonzero(is_first)[codes[again]]
    places = np.full(len(codes), -1)
    places[again] = first
    places_or_null = pa.array(places, mask=places < 0)
    return photos.append_column("duplicate_of", photos["face_id"].take(places_or_null))


def _suspects(photos: pa.Table) -> np.ndarray:
    """Places of photos without a tag whose bytes some other one may have too."""
    untagged = pc.is_null(photos["tag"])
    sizes = photos["num_bytes"]
    counts = pc.value_counts(sizes.filter(untagged))
    shared = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    # A Parquet file tells no sizes: of its photos any two may be the same.
    alike = pc.or_(pc.is_null(sizes), pc.is_in(sizes, value_set=shared.drop_null()))
    return np.flatnonzero(pc.and_(untagged, alike).to_numpy())


def _codes(names: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """(N,) a number for each different name, in the order they are met; -1 for null."""
    numbered = _wide(names).dictionary_encode()
    # The chunks share their numbers.
    chunks = numbered.chunks if isinstance(numbered, pa.ChunkedArray) else [numbered]
    return np.concatenate([chunk.indices.fill_null(-1).to_numpy() for chunk in chunks])


def _wide(names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    # Arrow's common strings end at 2 GB: of a hundred million photos they are more.
    return names.cast(pa.large_string())


def _digests(photos: pa.Table) -> Iterator[str | None]:
    """Of photo and landmarks together; None for what cannot be read, which a later stage says."""
    for fetched in _fetch_all(photos):
        if isinstance(fetched, FaceRejectedError):
            yield None
        else:
            content = hashlib.sha256(fetched.photo)
            content.update(hashlib.sha256(fetched.landmarks or b"").digest())
            yield content.hexdigest()


def build_hash_index(photos: pa.Table) -> HashIndex:
    """The pictures of listed photos, to find them again among others."""
    return HashIndex.of(_decoded(photos))


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
