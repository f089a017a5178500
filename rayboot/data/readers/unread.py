"""Files that look like pictures and are not read, so that nobody misses them unawares."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa

from rayboot.counts import describe_count

__all__ = [
    "UNREAD_SUFFIXES",
    "describe_unread",
    "is_unread_picture",
    "unread_note",
    "with_unread_note",
]

UNREAD_SUFFIXES = frozenset(
    (
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf"),
        *(".rw2", ".pef", ".raw", ".3fr", ".erf", ".kdc", ".dcr", ".mrw", ".x3f", ".iiq"),
        *(".jxl", ".psd", ".psb", ".xcf", ".svg", ".eps", ".ai", ".exr", ".hdr", ".dpx", ".dcm"),
        *(".ico", ".icns", ".wmf", ".emf", ".pct", ".pict", ".livp", ".heics", ".heifs", ".avifs"),
    )
)
"""Suffixes of pictures that are not read: raw data of cameras, files of editors, rare formats."""

_ARCHIVE_SUFFIXES = (
    *(".zip", ".rar", ".7z", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".arrow"),
    *(".feather", ".ipc", ".lance", ".lmdb", ".h5", ".hdf5", ".tfrecord", ".pq", ".parq", ".mdb"),
)
"""Suffixes of files that may contain photos, and are not read."""

_PHOTO_WITH_MORE = re.compile(
    r"(\.(?:jpe?g|png|webp|gif|tiff?|bmp|heic|avif)(?:[^.\w/][^/]*|_[^./]*|\.\d+))$", re.IGNORECASE
)
"""The end of names that a browser or scraper made: ``a.jpg_large``, ``a.jpg?w=640``, ``a.jpg.1``,
``a.jpg~``."""

_LANCE_FOLDER = re.compile(r".*?\.lance(?=/)", re.IGNORECASE)

_KEY = b"rayboot.unread_pictures"
_NUM_EXAMPLES = 3
_MAX_SUFFIX_CHARS = 16


def describe_unread(names: Iterable[str], tables: Sequence[str] = ()) -> str:
    """Returns a sentence on pictures, archives and tables that are not read; empty for none.

    Args:
        names: Paths of all files of a data set.
        tables: Paths of Parquet files that may have photos in another column than ``image``.
    """
    names = list(names)
    sentences = [_describe_pictures(names), _describe_archives(names), _describe_tables(tables)]
    return "; ".join(sentence for sentence in sentences if sentence)


def _describe_archives(names: Sequence[str]) -> str:
    archives = list(dict.fromkeys(map(_archive_of, names)))
    if "" in archives:
        archives.remove("")
    if not archives:
        return ""
    files = describe_count(len(archives), "archive", "is not read", "are not read")
    return (
        f"{files} ({_examples(archives)}); unpack them, or store the photos in .tar or Parquet "
        "files"
    )


def _archive_of(name: str) -> str:
    """Returns the archive that a file is, or is a part of; empty for other files."""
    if not name.lower().endswith(_ARCHIVE_SUFFIXES):
        return ""
    # A data set of Lance is a folder of many files.
    folder = _LANCE_FOLDER.match(name)
    return name if folder is None else folder[0]


def _describe_tables(tables: Sequence[str]) -> str:
    if not tables:
        return ""
    have_none = "has no column `image` of bytes and is not read"
    files = describe_count(
        len(tables), "Parquet file", have_none, "have no column `image` of bytes and are not read"
    )
    return f"{files} ({_examples(tables)}); rename the column that contains photos, if one does"


def _examples(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NUM_EXAMPLES])}{', ...' if len(names) > _NUM_EXAMPLES else ''}"


def _describe_pictures(names: Sequence[str]) -> str:
    counts: Counter[str] = Counter()
    examples: list[str] = []
    for name in names:
        suffix = _unread_suffix(name)
        if suffix:
            counts[suffix] += 1
            if len(examples) < _NUM_EXAMPLES:
                examples.append(name)
    if not counts:
        return ""
    by_suffix = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    more = ", ..." if counts.total() > len(examples) else ""
    files = describe_count(
        counts.total(),
        "file",
        "looks like a picture and is not read",
        "look like pictures and are not read",
    )
    return (
        f"{files}: {by_suffix} ({', '.join(examples)}{more}); convert them to JPEG or PNG, or "
        "correct their suffix"
    )


def is_unread_picture(name: str) -> bool:
    """Whether a file looks like a picture that is not read."""
    return bool(_unread_suffix(name))


def _unread_suffix(name: str) -> str:
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in UNREAD_SUFFIXES:
        return suffix
    found = _PHOTO_WITH_MORE.search(name)
    return "" if found is None else found[1].lower()[:_MAX_SUFFIX_CHARS]


def with_unread_note(photos: pa.Table, note: str) -> pa.Table:
    """Returns a listing that carries a sentence of :func:`describe_unread`."""
    return photos.replace_schema_metadata({_KEY: note.encode()} if note else None)


def unread_note(photos: pa.Table) -> str:
    """Returns the sentence that a listing carries; empty where all pictures are read."""
    metadata = photos.schema.metadata or {}
    note: str = metadata.get(_KEY, b"").decode()
    return note
