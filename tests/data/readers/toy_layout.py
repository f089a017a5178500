"""A layout of its own: text files that contain one hexadecimal photo per line."""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from rayboot.data.readers.base import FetchedPhoto, Row, build_photo_table
from rayboot.errors import FaceRejectedError
from rayboot.io.storage import Entry, join_uri, read_bytes


class HexLines:
    """Reader of the layout."""

    description: ClassVar[str] = ".hex files with one photo per line"

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        return any(name.endswith(".hex") for name in names)

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        lines = [
            (name, number)
            for name in entries
            if name.endswith(".hex")
            for number in range(len(read_bytes(join_uri(uri, name)).splitlines()))
        ]
        return build_photo_table(
            uri,
            [f"{name}/{number}" for name, number in lines],
            source_uri=[join_uri(uri, name) for name, _ in lines],
            source_offset=[number for _, number in lines],
        )

    def can_fetch(self, row: Row) -> bool:
        return bool(row["source_uri"].endswith(".hex"))

    def fetch(
        self, rows: Sequence[Row], num_requests: int
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        lines = [read_bytes(row["source_uri"]).splitlines()[row["source_offset"]] for row in rows]
        return [FetchedPhoto(bytes.fromhex(line.decode()), None, "") for line in lines]
