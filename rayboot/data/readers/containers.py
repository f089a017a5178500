"""Photos that lie many to a file: Parquet tables, and WebDataset's tar files.

A million small objects take longer to list and to open than to decode. In a Parquet
file a row group is one request for many photos; in a tar file a photo is one
request, its landmarks in the same file.
"""

import posixpath
import tarfile
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.readers.directory import PHOTO_SUFFIXES, find_landmarks, photo_table
from rayboot.errors import RequestError
from rayboot.io.storage import join_uri, open_file

__all__ = ["INDEX_NAME", "PACKED_SCHEMA", "list_tables"]

INDEX_NAME = "photos.index"
"""Of a packed set: a Parquet file of its listing, written last."""

PACKED_SCHEMA = pa.schema(
    [
        ("face_id", pa.string()),
        ("image", pa.binary()),
        # The landmark file's bytes, and its suffix with the dot.
        ("landmarks", pa.binary()),
        ("landmarks_suffix", pa.string()),
        ("tag", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        ("is_frame", pa.bool_()),
        ("is_test", pa.bool_()),
    ]
)
"""Of the rows that ``rayboot pack`` writes. Tables of others need ``image`` alone (the
bytes of a JPEG, PNG, ...); their ``landmarks`` may also be 136 numbers, x and y in turn."""


def list_tables(uri: str, names: Sequence[str]) -> pa.Table | None:
    """The photos in the Parquet and tar files among ``names``.

    Args:
        uri: of the data set, or of a single file of it.
        names: its files; one named ``.`` is ``uri`` itself.

    Returns:
        A table of :data:`~rayboot.data.readers.PHOTO_SCHEMA` by ``face_id``; None where there
        is no such file.

    Raises:
        RequestError: a Parquet file has no column ``image``, or two photos have one name.
    """
    base = posixpath.dirname(uri.rstrip("/")) if list(names) == ["."] else uri
    files = [posixpath.basename(uri)] if base != uri else list(names)
    if INDEX_NAME in files:
        return _list_packed(base)
    parts = [_list_parquet(base, name) for name in files if name.endswith(".parquet")]
    parts += [_list_tar(base, name) for name in files if name.endswith(".tar")]
    if not parts:
        return None
    table = pa.concat_tables(parts).sort_by("face_id")
    ids = table["face_id"]
    if len(ids.unique()) != len(ids):
        counts = ids.value_counts().to_pylist()
        twice = next(pair["values"] for pair in counts if pair["counts"] > 1)
        raise RequestError(f"input {uri}: two photos have the name {twice}; names must differ")
    return table


def _list_packed(uri: str) -> pa.Table:
    # Thousands of photos name the same file: of its name they keep a number.
    places = ["source_uri", "landmarks_uri"]
    with open_file(join_uri(uri, INDEX_NAME)) as file:
        index = pq.read_table(file, read_dictionary=places)
    for name in places:
        below = pa.chunked_array(
            [_below(uri, chunk) for chunk in index[name].chunks], index.schema.field(name).type
        )
        index = index.set_column(index.schema.get_field_index(name), name, below)
    return index


def _below(uri: str, names: pa.DictionaryArray) -> pa.DictionaryArray:
    files = pc.binary_join_element_wise(uri.rstrip("/"), names.dictionary, "/")
    return pa.DictionaryArray.from_arrays(names.indices, files)


def _list_parquet(uri: str, name: str) -> pa.Table:
    with open_file(join_uri(uri, name)) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        there = parquet.schema_arrow.names
        if "image" not in there:
            raise RequestError(
                f"{join_uri(uri, name)}: expected a column `image` with the bytes of photos, got "
                f"{', '.join(there)}"
            )
        wanted = [column for column in ("face_id", "dataset", "group_id", "tag") if column in there]
        known = parquet.read(columns=wanted) if wanted else None
        count = parquet.metadata.num_rows
    columns = {column: known[column].to_pylist() for column in wanted} if known is not None else {}
    face_ids = columns.pop("face_id", [f"{name}/{row:08d}" for row in range(count)])
    path, rows = join_uri(uri, name), list(range(count))
    if "landmarks" in there:
        columns |= {"landmarks_uri": [path] * count, "landmarks_offset": rows}
    return photo_table(uri, face_ids, source_uri=[path] * count, source_offset=rows, **columns)


def _list_tar(uri: str, name: str) -> pa.Table:
    """Members by their place; one pass over the file, of which only the headers are kept."""
    path = join_uri(uri, name)
    with open_file(path, sequential=True) as file, tarfile.open(fileobj=file) as archive:
        members = {member.name: member for member in archive if member.isfile()}
    landmarks = find_landmarks(members)
    photos = [
        member for member in members if posixpath.splitext(member)[1].lower() in PHOTO_SUFFIXES
    ]
    marks = [members.get(landmarks.get(posixpath.splitext(photo)[0], "")) for photo in photos]
    return photo_table(
        uri,
        [f"{posixpath.splitext(name)[0]}/{photo}" for photo in photos],
        source_uri=[path] * len(photos),
        source_offset=[members[photo].offset_data for photo in photos],
        num_bytes=[members[photo].size for photo in photos],
        landmarks_uri=[path if mark else None for mark in marks],
        landmarks_offset=[mark.offset_data if mark else None for mark in marks],
        landmarks_bytes=[mark.size if mark else None for mark in marks],
        landmarks_suffix=[
            posixpath.splitext(mark.name)[1].lower() if mark else None for mark in marks
        ],
    )
