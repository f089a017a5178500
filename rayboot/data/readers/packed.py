"""Photos that ``rayboot pack`` has written: Parquet files, and an index of all their rows."""

import posixpath
from collections.abc import Collection, Mapping
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.readers.base import folder_and_files
from rayboot.data.readers.parquet_tables import ParquetTables
from rayboot.io.storage import Entry, join_uri, open_file

__all__ = ["INDEX_NAME", "PACKED_SCHEMA", "PackedPhotos"]

INDEX_NAME = "photos.index"
"""Name of a packed set's index: a Parquet file of :data:`~rayboot.data.readers.PHOTO_SCHEMA`,
written last, whose URIs are relative to the set."""

PACKED_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("image", pa.binary()),
        # Content of the landmark file, and its suffix with the dot.
        ("landmarks", pa.binary()),
        ("landmarks_suffix", pa.string()),
        ("tag", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        ("is_frame", pa.bool_()),
        ("is_test", pa.bool_()),
        # Why the photo could not be read when it was packed; null where it was.
        ("reject", pa.struct([(name, pa.string()) for name in ("stage", "reason", "message")])),
    ]
)
"""Columns of the Parquet files that ``rayboot pack`` writes."""


class PackedPhotos(ParquetTables):
    """Reader of packed sets: the index is the listing; rows are fetched as of any Parquet file.

    Of a set in a subfolder, ``face_id`` and ``group_id`` begin with the folder.
    """

    description: ClassVar[str] = "the output of `rayboot pack`"

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        """Whether there is an index."""
        return any(_is_index(name) for name in folder_and_files(uri, names)[1])

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        """Reads the indices; URIs stay dictionary-encoded, since thousands of rows share one."""
        folder, files = folder_and_files(uri, entries)
        sets = [posixpath.dirname(name) for name in files if _is_index(name)]
        return pa.concat_tables([_read_index(folder, name) for name in sets]).unify_dictionaries()


def _is_index(name: str) -> bool:
    return posixpath.basename(name) == INDEX_NAME


def _read_index(uri: str, below: str) -> pa.Table:
    """Reads the index of the set in the folder ``below`` an input."""
    folder = join_uri(uri, below) if below else uri
    uri_columns = ["source_uri", "landmarks_uri"]
    with open_file(join_uri(folder, INDEX_NAME)) as file:
        index = pq.read_table(file, read_dictionary=uri_columns)
    for name in uri_columns:
        absolute = pa.chunked_array(
            [_join_uris(folder, chunk) for chunk in index[name].chunks],
            index.schema.field(name).type,
        )
        index = index.set_column(index.schema.get_field_index(name), name, absolute)
    for name in ("face_id", "group_id") if below else ():
        values = pc.binary_join_element_wise(below, index[name], "/")
        index = index.set_column(index.schema.get_field_index(name), name, values)
    return index


def _join_uris(folder: str, names: pa.DictionaryArray) -> pa.DictionaryArray:
    """Prepends the folder to file names, each of which is stored once."""
    uris = pc.binary_join_element_wise(folder.rstrip("/"), names.dictionary, "/")
    return pa.DictionaryArray.from_arrays(names.indices, uris)
