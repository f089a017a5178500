"""Photos as single files, alone or in folders, each with its landmark file of the same stem.

This is the layout of LS3D-W, LFW, 300W and AFLW2000-3D.
"""

import posixpath
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.readers.base import (
    PHOTO_SUFFIXES,
    FetchedPhoto,
    Row,
    build_photo_table,
    folder_and_files,
    is_photo,
    match_landmarks,
    suffix_of,
)
from rayboot.data.readers.byte_ranges import fetch_byte_ranges
from rayboot.errors import FaceRejectedError
from rayboot.io.storage import Entry, join_uri, list_entries

__all__ = ["LooseFiles"]


class LooseFiles:
    """Reader of an image file, or of those in folders of any depth."""

    description: ClassVar[str] = (
        f"an image file, or a folder of image files, ending in {', '.join(sorted(PHOTO_SUFFIXES))}"
    )

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        """Whether there is an image file."""
        return any(is_photo(name) for name in folder_and_files(uri, names)[1])

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        """Lists the image files; sizes and tags come from the store's listing."""
        uri, files = folder_and_files(uri, entries)
        if files != list(entries):
            entries = _with_landmarks(uri, {files[0]: entries["."]})
        photos = [name for name in entries if is_photo(name)]
        sizes = {name: entry.num_bytes for name, entry in entries.items()}
        landmarks = match_landmarks(photos, sizes)
        return build_photo_table(
            uri,
            photos,
            source_uri=[join_uri(uri, name) for name in photos],
            num_bytes=[entries[name].num_bytes for name in photos],
            landmarks_uri=[join_uri(uri, name) if name else None for name in landmarks],
            landmarks_bytes=[entries[name].num_bytes if name else None for name in landmarks],
            landmarks_suffix=[suffix_of(name) if name else None for name in landmarks],
            tag=[
                _joint_tag(entries[photo], entries[name] if name else None)
                for photo, name in zip(photos, landmarks, strict=True)
            ],
        )

    def can_fetch(self, row: Row) -> bool:
        """Whether the row is an image file of its own."""
        return row["source_offset"] is None and is_photo(row["source_uri"])

    def fetch(
        self, rows: Sequence[Row], num_requests: int
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        """Fetches the files."""
        return fetch_byte_ranges(rows, num_requests)


def _with_landmarks(folder: str, photo: Mapping[str, Entry]) -> dict[str, Entry]:
    """Adds the landmark files of a single photo; its folder, which may be large, is not listed."""
    entries = dict(photo)
    for name in photo:
        for suffix in LANDMARK_SUFFIXES:
            file = f"{posixpath.splitext(name)[0]}{suffix}"
            if entry := list_entries(join_uri(folder, file)).get("."):
                entries[file] = entry
    return entries


def _joint_tag(photo: Entry, landmarks: Entry | None) -> str | None:
    """Returns one tag for photo and landmarks; None where the store has none for either."""
    if photo.tag is None or (landmarks is not None and landmarks.tag is None):
        return None
    return f"{photo.tag}+{landmarks.tag if landmarks else ''}"
