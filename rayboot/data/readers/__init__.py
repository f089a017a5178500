"""Readers of photo data sets, one for each layout, and the listing that asks all of them.

To add a layout, write a module with a class of the interface
:class:`~rayboot.data.readers.base.PhotoReader`, and add the class to :data:`READERS`.
"""

import logging
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.readers.base import (
    PHOTO_SCHEMA,
    PHOTO_SUFFIXES,
    FetchedPhoto,
    PhotoReader,
    build_photo_table,
    folder_and_files,
    is_photo,
    is_shadow,
    match_landmarks,
)
from rayboot.data.readers.combined import list_by_readers
from rayboot.data.readers.groups import TEST_SUBSETS
from rayboot.data.readers.landmarks_apart import describe_apart
from rayboot.data.readers.loose_files import LooseFiles
from rayboot.data.readers.packed import INDEX_NAME, PACKED_SCHEMA, PackedPhotos
from rayboot.data.readers.parquet_tables import ParquetTables
from rayboot.data.readers.run_outputs import describe_outputs, without_outputs
from rayboot.data.readers.tar_files import TarFiles
from rayboot.data.readers.unread import describe_unread, with_unread_note
from rayboot.errors import RequestError
from rayboot.io.paths import escape_undecodable
from rayboot.io.storage import Entry, exists, list_entries

__all__ = [
    "INDEX_NAME",
    "PACKED_SCHEMA",
    "PHOTO_SCHEMA",
    "PHOTO_SUFFIXES",
    "READERS",
    "TEST_SUBSETS",
    "FetchedPhoto",
    "PhotoReader",
    "build_photo_table",
    "create_readers",
    "is_photo",
    "list_photos",
    "match_landmarks",
]

READERS: tuple[type[PhotoReader], ...] = (LooseFiles, PackedPhotos, ParquetTables, TarFiles)
"""Readers in the order in which they are asked, for files and for rows."""

_LOG = logging.getLogger(__name__)


def create_readers() -> list[PhotoReader]:
    """Creates one reader of each layout, without anything cached."""
    return [reader() for reader in READERS]


def list_photos(uri: str, *, include_test: bool = False) -> pa.Table:
    """Lists the photos of a data set, sorted by ``face_id``, without decoding any.

    Args:
        uri: URI of the data set, in any layouts of :data:`READERS`: a folder, a photo, or a
            single file that contains many photos.
        include_test: Whether photos of LS3D-W's test subsets are included.

    Returns:
        A table of :data:`PHOTO_SCHEMA`; string columns may be dictionary-encoded. It carries the
        sentence of :func:`~rayboot.data.readers.unread.unread_note`.

    Raises:
        RequestError: the data set cannot be listed, contains no photo, or two photos of it have
            the same name.
    """
    uri = escape_undecodable(uri)
    try:
        entries = {name: entry for name, entry in list_entries(uri).items() if not _is_hidden(name)}
        if not entries and not exists(uri):
            raise RequestError(
                f"input {uri}: there is no such file or folder; relative paths begin at the folder "
                "in which the command runs"
            )
        inputs, outputs = without_outputs(entries)
        photos, in_archives, tables = _list_entries(uri, inputs)
    except OSError as error:
        raise RequestError(f"input {uri}: cannot be listed ({error})") from error
    if not include_test:
        photos = photos.filter(pc.invert(photos["is_test"]))
    files = folder_and_files(uri, inputs)[1]
    sentences = [
        describe_unread([*files, *in_archives], tables),
        describe_apart(photos, uri, inputs),
        describe_outputs(outputs),
    ]
    unread = "; ".join(sentence for sentence in sentences if sentence)
    if len(photos) == 0:
        layouts = "; or ".join(reader.description for reader in READERS)
        raise RequestError(
            f"input {uri}: no photo found; expected {layouts} (LS3D-W's test subsets "
            f"{', '.join(TEST_SUBSETS)} are not counted)" + (f"; {unread}" if unread else "")
        )
    if unread:
        _LOG.warning("input %s: %s", uri, unread)
    return with_unread_note(photos, unread)


def _list_entries(uri: str, entries: Mapping[str, Entry]) -> tuple[pa.Table, list[str], list[str]]:
    """Lists the photos among files by all layouts that are there.

    Returns:
        The photos, the names of pictures in archives that are not read, and those of Parquet files
        that may have photos and are not read.

    Raises:
        RequestError: Parquet files are all there is, and none has photos.
    """
    photos, readers = list_by_readers(uri, entries, create_readers())
    archives = [reader for reader in readers if isinstance(reader, TarFiles)]
    tables = [reader for reader in readers if isinstance(reader, ParquetTables)]
    for reader in tables:
        if len(photos) == 0 and reader.refusal is not None:
            raise reader.refusal
    return (
        photos,
        [name for reader in archives for name in reader.other_names],
        [name for reader in tables for name in reader.other_tables],
    )


def _is_hidden(name: str) -> bool:
    """Whether a path is hidden, or a shadow file of macOS: such files are photos by name alone."""
    return name != "." and (is_shadow(name) or any(p.startswith(".") for p in name.split("/")))
