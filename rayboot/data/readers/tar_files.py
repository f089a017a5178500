"""Photos in tar files, as WebDataset lays them out.

A photo is one request for a range of bytes; its landmarks are a member of the same stem.
"""

import posixpath
import tarfile
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from rayboot.data.readers.base import (
    PHOTO_SCHEMA,
    FetchedPhoto,
    Row,
    build_photo_table,
    damaged_if_unreadable,
    folder_and_files,
    is_photo,
    is_shadow,
    match_landmarks,
    suffix_of,
)
from rayboot.data.readers.byte_ranges import fetch_byte_ranges
from rayboot.data.readers.unread import is_unread_picture
from rayboot.errors import FaceRejectedError
from rayboot.io.paths import escape_path
from rayboot.io.storage import Entry, join_uri, open_file

__all__ = ["TarFiles"]

_SUFFIX = ".tar"


class TarFiles:
    """Reader of uncompressed tar files, one or a folder of them."""

    description: ClassVar[str] = f"{_SUFFIX} files of them (WebDataset)"

    def __init__(self) -> None:
        self.other_names: list[str] = []
        """Members that were listed and look like pictures that are not read."""

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        """Whether there is a tar file."""
        return any(suffix_of(name) == _SUFFIX for name in folder_and_files(uri, names)[1])

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        """Lists the image members; each tar file is read once, member headers are kept."""
        folder, files = folder_and_files(uri, entries)
        tables = [PHOTO_SCHEMA.empty_table()]
        for name in files:
            if suffix_of(name) == _SUFFIX:
                table, others = _list_members(folder, name)
                tables.append(table)
                self.other_names += [f"{posixpath.splitext(name)[0]}/{file}" for file in others]
        return pa.concat_tables(tables)

    def can_fetch(self, row: Row) -> bool:
        """Whether the row is a member of a tar file."""
        return row["source_offset"] is not None and suffix_of(row["source_uri"]) == _SUFFIX

    def fetch(
        self, rows: Sequence[Row], num_requests: int
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        """Fetches the members."""
        return fetch_byte_ranges(rows, num_requests)


def _list_members(folder: str, name: str) -> tuple[pa.Table, list[str]]:
    """Lists one tar file; returns its photos, and the pictures in it that are not read."""
    uri = join_uri(folder, name)
    with (
        damaged_if_unreadable(uri, "tar", tarfile.TarError, EOFError),
        open_file(uri, sequential=True) as file,
        tarfile.open(fileobj=file, encoding="utf-8") as archive,
    ):
        files = (member for member in archive if member.isfile())
        members = {file.name: file for file in files if not is_shadow(file.name)}
    photos = [member for member in members if is_photo(member)]
    sizes: dict[str, int | None] = {name: member.size for name, member in members.items()}
    landmarks = [members[file] if file else None for file in match_landmarks(photos, sizes)]
    unread = [escape_path(member) for member in members if is_unread_picture(member)]
    table = build_photo_table(
        folder,
        [f"{posixpath.splitext(name)[0]}/{escape_path(photo)}" for photo in photos],
        source_uri=[uri] * len(photos),
        source_offset=[members[photo].offset_data for photo in photos],
        num_bytes=[members[photo].size for photo in photos],
        landmarks_uri=[uri if member else None for member in landmarks],
        landmarks_offset=[member.offset_data if member else None for member in landmarks],
        landmarks_bytes=[member.size if member else None for member in landmarks],
        landmarks_suffix=[suffix_of(member.name) if member else None for member in landmarks],
    )
    return table, unread
