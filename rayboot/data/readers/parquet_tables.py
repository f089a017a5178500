"""Photos as rows of Parquet files.

A row group is one request for many photos: a million small objects take longer to list and to
open than to decode.
"""

import io
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.readers.base import (
    PHOTO_SCHEMA,
    FetchedPhoto,
    Row,
    build_photo_table,
    damaged_if_unreadable,
    folder_and_files,
    suffix_of,
)
from rayboot.data.readers.byte_ranges import rejected_if_unreadable
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.io.retry import retry_io
from rayboot.io.storage import Entry, join_uri, open_file

__all__ = ["ParquetTables"]

_SUFFIX = ".parquet"

_IS_BYTES = (
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    pa.types.is_fixed_size_binary,
)


class ParquetTables:
    """Reader of Parquet files with a column ``image`` (bytes of a JPEG, PNG, ... per row).

    The column may also be a struct of ``bytes`` and ``path``, as Hugging Face's data sets have it.
    Optional columns are ``face_id``, ``dataset``, ``group_id``, ``tag``, and ``landmarks``: the
    bytes of a landmark file, with ``landmarks_suffix``, or 136 numbers, x and y in turn.
    """

    description: ClassVar[str] = f"{_SUFFIX} files with the bytes of photos in a column `image`"

    def __init__(self) -> None:
        self._cache = _RowGroupCache()
        self.other_tables: list[str] = []
        """Files that were listed, have no photos, and may have some under another column."""
        self.refusal: RequestError | None = None
        """Why the first file without photos is not read."""

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        """Whether there is a Parquet file."""
        return any(suffix_of(name) == _SUFFIX for name in folder_and_files(uri, names)[1])

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        """Lists the rows; of the images nothing is read. Tables without photos are noted.

        Raises:
            RequestError: a file is damaged.
        """
        folder, files = folder_and_files(uri, entries)
        tables = [PHOTO_SCHEMA.empty_table()]
        for name in files:
            if suffix_of(name) != _SUFFIX:
                continue
            try:
                tables.append(_list_rows(folder, name))
            except _NoPhotosError as error:
                self.refusal = self.refusal or error
                if error.may_have_photos:
                    self.other_tables.append(name)
        return pa.concat_tables(tables)

    def can_fetch(self, row: Row) -> bool:
        """Whether the row is a row of a Parquet file."""
        return row["source_offset"] is not None and suffix_of(row["source_uri"]) == _SUFFIX

    def fetch(
        self, rows: Sequence[Row], num_requests: int
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        """Fetches the row groups that contain the rows, file by file.

        Args:
            rows: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`.
            num_requests: Not used; PyArrow reads the columns of a row group concurrently.
        """
        indices_by_uri: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            indices_by_uri[row["source_uri"]].append(index)
        fetched: dict[int, FetchedPhoto | FaceRejectedError] = {}
        for uri, indices in indices_by_uri.items():
            offsets = [rows[index]["source_offset"] for index in indices]
            fetched.update(zip(indices, self._fetch_rows(uri, offsets), strict=True))
        return [fetched[index] for index in range(len(rows))]

    def _fetch_rows(
        self, uri: str, offsets: Sequence[int]
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        """Fetches rows of one file; all are rejected if it is gone or must not be read."""
        try:
            with rejected_if_unreadable(uri, "read"):
                stored = retry_io(partial(self._cache.read_rows, uri, offsets), uri)
        except FaceRejectedError as error:
            return [error] * len(offsets)
        return list(map(_to_photo, stored))


def _list_rows(folder: str, name: str) -> pa.Table:
    uri = join_uri(folder, name)
    with damaged_if_unreadable(uri, "Parquet", pa.ArrowInvalid), open_file(uri) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        available = parquet.schema_arrow.names
        _require_photos(uri, parquet.schema_arrow)
        names = [c for c in ("face_id", "dataset", "group_id", "tag") if c in available]
        table = parquet.read(columns=names) if names else None
        num_rows = parquet.metadata.num_rows
    columns = {column: table[column].to_pylist() for column in names} if table is not None else {}
    face_ids = columns.pop("face_id", [f"{name}/{row:08d}" for row in range(num_rows)])
    uris, offsets = [uri] * num_rows, list(range(num_rows))
    if "landmarks" in available:
        columns |= {"landmarks_uri": uris, "landmarks_offset": offsets}
    return build_photo_table(folder, face_ids, source_uri=uris, source_offset=offsets, **columns)


class _NoPhotosError(RequestError):
    """A Parquet file has no column ``image`` with bytes."""

    def __init__(self, message: str, may_have_photos: bool) -> None:
        super().__init__(message)
        self.may_have_photos = may_have_photos


def _require_photos(uri: str, schema: pa.Schema) -> None:
    """Requires a column ``image`` with the bytes of image files.

    Raises:
        _NoPhotosError: There is none, or it has neither bytes nor structs with ``bytes``.
    """
    # Ground truth of synthetic photos has bytes, and no photos.
    may_have_photos = "vertices" not in schema.names and any(map(_has_bytes, schema.types))
    if "image" not in schema.names:
        raise _NoPhotosError(
            f"{uri}: expected a column `image` with the bytes of photos, got the columns "
            f"{', '.join(schema.names)}; rename the column that contains them",
            may_have_photos,
        )
    kind = schema.field("image").type
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        kind = kind.field("bytes").type if "bytes" in names else kind
    if not _is_bytes(kind):
        raise _NoPhotosError(
            f"{uri}: expected a column `image` with the bytes of photos, or with structs of "
            f"`bytes` and `path`, got {kind}; store the content of image files",
            may_have_photos,
        )


def _has_bytes(kind: pa.DataType) -> bool:
    """Whether a column has bytes, however deep."""
    nested = (kind.field(index).type for index in range(kind.num_fields))
    return _is_bytes(kind) or any(map(_has_bytes, nested))


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(is_bytes(kind) for is_bytes in _IS_BYTES)


class _RowGroupCache:
    """Rows of Parquet files, of which only the row groups that contain one are read.

    Batches go through a file in order, several to a row group, so the metadata of the last file
    and its last row groups are kept.
    """

    def __init__(self) -> None:
        self._uri = ""
        self._metadata: pq.FileMetaData | None = None
        self._groups: dict[int, pa.Table] = {}

    def read_rows(self, uri: str, offsets: Sequence[int]) -> list[Row]:
        """Returns the rows of a file with these numbers, in their order."""
        if uri != self._uri:
            self._uri, self._metadata, self._groups = uri, None, {}
        if self._metadata is None:
            with open_file(uri) as file:
                self._metadata = pq.read_metadata(file)
        metadata = self._metadata
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *counts])
        groups = (np.searchsorted(starts, offsets, side="right") - 1).tolist()
        self._load_groups(uri, metadata, sorted(set(groups)))
        return [
            self._groups[group].slice(offset - int(starts[group]), 1).to_pylist()[0]
            for group, offset in zip(groups, offsets, strict=True)
        ]

    def _load_groups(self, uri: str, metadata: pq.FileMetaData, groups: list[int]) -> None:
        """Reads the row groups that are not cached, and drops those no longer needed."""
        missing = [group for group in groups if group not in self._groups]
        if missing:
            with open_file(uri) as file:
                parquet = pq.ParquetFile(file, metadata=metadata, pre_buffer=True)
                available = parquet.schema_arrow.names
                names = ("image", "landmarks", "landmarks_suffix", "reject")
                columns = [name for name in names if name in available]
                for group in missing:
                    self._groups[group] = parquet.read_row_group(group, columns=columns)
        self._groups = {group: self._groups[group] for group in groups}


def _to_photo(row: Row) -> FetchedPhoto | FaceRejectedError:
    """Converts a row of a Parquet file; a null image becomes an empty file, rejected later."""
    if (reject := row.get("reject")) is not None:  # of a photo that could not be packed
        return FaceRejectedError(reject["stage"], reject["reason"], reject["message"])
    photo, landmarks = row["image"] or b"", row.get("landmarks")
    if isinstance(photo, dict):
        if photo["bytes"] is None and photo.get("path"):
            return FaceRejectedError(
                "read",
                "missing",
                f"the row has the path {photo['path']} instead of the bytes of the photo; embed "
                "the files when the data set is written",
            )
        photo = photo["bytes"] or b""
    if landmarks is None:
        return FetchedPhoto(photo, None, "")
    if isinstance(landmarks, bytes):
        return FetchedPhoto(photo, landmarks, row.get("landmarks_suffix") or ".npy")
    # Numbers are encoded as a file, so that the checks for landmark files apply to them too.
    buffer = io.BytesIO()
    flat = np.asarray(landmarks, np.float64).ravel()
    np.save(buffer, flat.reshape(-1, 2) if flat.size % 2 == 0 else flat)
    return FetchedPhoto(photo, buffer.getvalue(), ".npy")
