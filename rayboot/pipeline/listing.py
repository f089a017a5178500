"""The photos of a run's inputs: listing them, subsampling videos and marking duplicates."""

import hashlib
import posixpath
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.perceptual_hash import HashIndex
from rayboot.data.readers import PHOTO_SCHEMA, list_photos
from rayboot.data.readers.unread import unread_note, with_unread_note
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.io.paths import escape_undecodable
from rayboot.io.places import is_inside, is_same_place

__all__ = [
    "build_hash_index",
    "list_inputs",
    "mark_duplicates",
    "require_other_folder",
    "subsample_videos",
]

_BATCH_ROWS = 256
"""Number of photos that are fetched at a time."""


def list_inputs(inputs: str | Sequence[str], *, include_test: bool = False) -> pa.Table:
    """Lists the photos of one data set, or of several under the names of their folders.

    Args:
        inputs: URIs of the data sets, single photos among them.
        include_test: Whether photos of LS3D-W's test subsets are included.

    Returns:
        A table of :data:`~rayboot.data.readers.PHOTO_SCHEMA`. With several inputs, ``face_id`` and
        ``group_id`` begin with the name of the input, which is also the ``dataset``. A single
        photo keeps its name; of photos of one name, each begins with as many of its folders as
        distinguish them.

    Raises:
        RequestError: an input contains no photo, two inputs have the same name, or a photo is given
            twice.
    """
    if isinstance(inputs, str):
        return list_photos(inputs, include_test=include_test)
    if not inputs:
        raise RequestError("expected the URI of photos as input, got none")
    listed = [list_photos(uri, include_test=include_test) for uri in inputs]
    prefixes = _prefixes(inputs, listed)
    tables = [
        _add_prefix(photos, prefix).cast(PHOTO_SCHEMA)
        for photos, prefix in zip(listed, prefixes, strict=True)
    ]
    notes = [
        f"{posixpath.basename(uri.rstrip('/'))}: {note}"
        for uri, photos in zip(inputs, listed, strict=True)
        if (note := unread_note(photos))
    ]
    photos = pa.concat_tables(tables)
    if any(_is_photo(uri, table) for uri, table in zip(inputs, listed, strict=True)):
        _require_unique(inputs, photos["face_id"])
    return with_unread_note(photos, "; ".join(notes))


def _prefixes(inputs: Sequence[str], listed: Sequence[pa.Table]) -> list[str]:
    """Returns what the names of each input's photos begin with; mostly empty for single photos."""
    parts = [uri.rstrip("/").split("/") for uri in inputs]
    are_photos = [_is_photo(uri, photos) for uri, photos in zip(inputs, listed, strict=True)]
    folders = [part[-1] for part, is_photo in zip(parts, are_photos, strict=True) if not is_photo]
    if len(set(folders)) != len(folders):
        raise RequestError(
            "several inputs must be photos, or folders of different names, since every face_id "
            f"begins with the name; got {', '.join(inputs)}"
        )
    tails = [
        _distinct_tail(part, [other for other in parts if other != part]) if is_photo else part[-1:]
        for part, is_photo in zip(parts, are_photos, strict=True)
    ]
    return [
        "/".join(tail[:-1] if is_photo else tail)
        for tail, is_photo in zip(tails, are_photos, strict=True)
    ]


def _distinct_tail(parts: list[str], others: list[list[str]]) -> list[str]:
    """Returns the last parts of a path, as many as no other path ends in."""
    for count in range(1, len(parts)):
        if all(other[-count:] != parts[-count:] for other in others):
            return parts[-count:]
    return parts


def _is_photo(uri: str, photos: pa.Table) -> bool:
    """Whether an input is a single image file, and no folder or archive."""
    (row,) = photos.slice(0, 1).to_pylist()
    path = escape_undecodable(uri).rstrip("/")
    return row["source_uri"] == path and row["source_offset"] is None


def _require_unique(inputs: Sequence[str], names: pa.ChunkedArray) -> None:
    """Raises RequestError where single photos have the name of another photo."""
    counts = names.value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise RequestError(
            f"input {', '.join(inputs)}: two photos have the name {repeated[0]}; give each photo "
            "once, and rename those of one name"
        )


def require_other_folder(inputs: str | Sequence[str], output: str) -> None:
    """Refuses an output that is one of the inputs, or a folder in one.

    Its files would lie among the photos, and the next run would take them for some.

    Raises:
        RequestError: the output is an input, or in one.
    """
    for uri in [inputs] if isinstance(inputs, str) else inputs:
        if is_same_place(uri, output):
            raise RequestError(
                f"output {output}: expected another folder than the input, which it is; files of "
                "the run would lie among the photos, so choose a new folder"
            )
        if is_inside(output, uri):
            raise RequestError(
                f"output {output}: expected a place outside of the input {uri}, got one in it; "
                "the next run would take files of this one for photos, so choose a folder beside "
                "the input"
            )


def _add_prefix(photos: pa.Table, name: str) -> pa.Table:
    if not name:
        return photos
    for column in ("face_id", "group_id"):
        values = pc.binary_join_element_wise(name, photos[column], "/")
        photos = photos.set_column(photos.schema.get_field_index(column), column, values)
    dataset = pa.repeat(name, len(photos))
    return photos.set_column(photos.schema.get_field_index("dataset"), "dataset", dataset)


def subsample_videos(photos: pa.Table, step: int) -> pa.Table:
    """Keeps every ``step``-th frame of each video, from its first; other photos are kept.

    Args:
        photos: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, in a fixed order.
        step: Distance between the frames that are kept; 1 keeps all.
    """
    if step == 1:
        return photos
    groups = _encode_by_first_use(photos["group_id"])
    by_group = np.argsort(groups, kind="stable")
    first_of_group = np.flatnonzero(np.diff(groups[by_group], prepend=-2))
    index_in_group = np.empty(len(groups), np.int64)
    index_in_group[by_group] = np.arange(len(groups)) - first_of_group[groups[by_group]]
    is_frame = photos["is_frame"].to_numpy()
    return photos.filter(pa.array(~is_frame | (index_in_group % step == 0)))


def mark_duplicates(photos: pa.Table, known: pa.Table | None = None) -> pa.Table:
    """Adds ``duplicate_of``: the first photo with the same bytes and landmarks, or null.

    Only photos are read that have the same size as another one, and of which the store has not
    tagged both.

    Args:
        photos: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, in a fixed order.
        known: Rows that were listed before; they come before all others and are not returned.
    """
    if not len(photos):
        return photos.append_column("duplicate_of", pa.nulls(0, pa.string()))
    if known is not None:
        originals = known.filter(pc.is_null(known["duplicate_of"])).select(PHOTO_SCHEMA.names)
        both = pa.concat_tables([originals.cast(PHOTO_SCHEMA), photos.cast(PHOTO_SCHEMA)])
        return _mark_duplicates(both, len(originals)).slice(len(originals))
    return _mark_duplicates(photos, 0)


def _mark_duplicates(photos: pa.Table, num_known: int) -> pa.Table:
    tags = photos["tag"]
    candidates = _untagged_candidates(photos, num_known)
    if len(candidates):
        digests = list(_compute_digests(photos.take(pa.array(candidates))))
        is_candidate = np.zeros(len(tags), bool)
        is_candidate[candidates] = True
        tags = _to_large_strings(tags).combine_chunks()
        tags = pc.replace_with_mask(tags, pa.array(is_candidate), pa.array(digests, tags.type))
    # Codes ascend in the order of their first use, so a photo is the first with its tag where
    # its code is greater than all before it.
    codes = _encode_by_first_use(tags)
    greatest = np.maximum.accumulate(codes)
    is_first = codes > np.concatenate(([-1], greatest[:-1]))
    repeated = np.flatnonzero((codes >= 0) & ~is_first)
    originals = np.full(len(codes), -1)
    originals[repeated] = np.flatnonzero(is_first)[codes[repeated]]
    originals_or_null = pa.array(originals, mask=originals < 0)
    return photos.append_column("duplicate_of", photos["face_id"].take(originals_or_null))


def _untagged_candidates(photos: pa.Table, num_known: int) -> np.ndarray:
    """Returns the indices of photos whose bytes another photo may also have, by their sizes.

    One photo of each such pair has no tag; the other one may have one, as a file on S3 beside the
    archive that it was unpacked from. The first ``num_known`` are known to differ from each other.
    """
    untagged = pc.is_null(photos["tag"])
    sizes = photos["num_bytes"]
    of_untagged = sizes.filter(untagged).unique().drop_null()
    compared = pc.or_(untagged, pc.is_in(sizes, value_set=of_untagged))
    counts = pc.value_counts(sizes.filter(compared))
    shared = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    # Sizes of photos in Parquet files are unknown, so any two of these may be equal.
    may_repeat = pc.or_(pc.is_null(sizes), pc.is_in(sizes, value_set=shared.drop_null()))
    may_repeat = pc.and_(compared, may_repeat)
    if num_known:
        of_new = sizes.slice(num_known).filter(compared.slice(num_known)).unique()
        may_repeat = pc.and_(may_repeat, pc.is_in(sizes, value_set=of_new))
    return np.flatnonzero(may_repeat.to_numpy())


def _encode_by_first_use(names: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Returns (N,) a code for each distinct name, ascending by first use; -1 for null."""
    encoded = _to_large_strings(names).dictionary_encode()
    # All chunks share one dictionary.
    chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    return np.concatenate([chunk.indices.fill_null(-1).to_numpy() for chunk in chunks])


def _to_large_strings(names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    # Arrow's default strings are limited to 2 GB, which the names of a hundred million photos
    # exceed.
    return names.cast(pa.large_string())


def _compute_digests(photos: pa.Table) -> Iterator[str | None]:
    """Yields a digest of photo and landmarks; None for a missing file, which is rejected later."""
    for fetched in _fetch_all(photos):
        if isinstance(fetched, FaceRejectedError):
            yield None
        else:
            digest = hashlib.sha256(fetched.photo)
            digest.update(hashlib.sha256(fetched.landmarks or b"").digest())
            yield digest.hexdigest()


def build_hash_index(photos: pa.Table) -> HashIndex:
    """Builds an index of listed photos, which recognises them in other files.

    Args:
        photos: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`.
    """
    return HashIndex.build(_decode_all(photos))


def _decode_all(photos: pa.Table) -> Iterator[tuple[str, bytes, np.ndarray]]:
    names = photos["face_id"].to_pylist()
    for name, fetched in zip(names, _fetch_all(photos), strict=True):
        if isinstance(fetched, FaceRejectedError):
            continue
        try:
            yield name, fetched.photo, decode_photo(fetched.photo)
        except FaceRejectedError:  # a photo that cannot be decoded cannot be recognised either
            continue


def _fetch_all(photos: pa.Table) -> Iterator[FetchedPhoto | FaceRejectedError]:
    fetcher = PhotoFetcher()
    for start in range(0, len(photos), _BATCH_ROWS):
        yield from fetcher.fetch(photos.slice(start, _BATCH_ROWS).to_pylist())
