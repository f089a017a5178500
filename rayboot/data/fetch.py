"""The bytes of listed photos and of their landmarks, wherever they lie."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.errors import FaceRejectedError
from rayboot.io.retry import retry_io
from rayboot.io.storage import open_file, read_bytes, read_range

__all__ = ["FetchedPhoto", "PhotoFetcher"]

Row = Mapping[str, Any]


class FetchedPhoto(NamedTuple):
    """What a photo's row stands for.

    Attributes:
        photo: the bytes of the picture file.
        landmarks: the bytes of the landmark file; None where there is none.
        landmarks_suffix: its kind, with the dot.
    """

    photo: bytes
    landmarks: bytes | None
    landmarks_suffix: str


class PhotoFetcher:
    """Fetches batches; requests for single files go out side by side.

    Args:
        num_requests: at once.
    """

    def __init__(self, num_requests: int = 16) -> None:
        self._num_requests = num_requests
        self._tables = _TableReader()

    def fetch(self, rows: Sequence[Row]) -> list[FetchedPhoto | FaceRejectedError]:
        """The photos of rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, in their order.

        A file that is gone gives an error in its place, to be raised for that row.

        Raises:
            StoreError: the store is in trouble for long.
        """
        found: dict[int, FetchedPhoto | FaceRejectedError] = {}
        in_tables: dict[str, list[int]] = defaultdict(list)
        alone: list[int] = []
        for index, row in enumerate(rows):
            if row["source_uri"].endswith(".parquet"):
                in_tables[row["source_uri"]].append(index)
            else:
                alone.append(index)
        for uri, indices in in_tables.items():
            places = [rows[index]["source_offset"] for index in indices]
            rows_there = retry_io(partial(self._tables.rows, uri, places), uri)
            found.update(zip(indices, map(_from_row, rows_there), strict=True))
        # Threads of each batch's own: what holds a fetcher can be sent to other processes.
        with ThreadPoolExecutor(self._num_requests, thread_name_prefix="fetch") as pool:
            answers = pool.map(_fetch_file, [rows[index] for index in alone])
            found.update(zip(alone, answers, strict=True))
        return [found[index] for index in range(len(rows))]


def _fetch_file(row: Row) -> FetchedPhoto | FaceRejectedError:
    try:
        photo = _read(row["source_uri"], row["source_offset"], row["num_bytes"], "read")
        if row["landmarks_uri"] is None:
            return FetchedPhoto(photo, None, "")
        place = (row["landmarks_uri"], row["landmarks_offset"], row["landmarks_bytes"])
        return FetchedPhoto(photo, _read(*place, "landmarks"), row["landmarks_suffix"])
    except FaceRejectedError as error:
        return error


def _read(uri: str, offset: int | None, length: int, stage: str) -> bytes:
    try:
        if offset is None:
            return retry_io(lambda: read_bytes(uri), uri)
        return retry_io(lambda: read_range(uri, offset, length), uri)
    except FileNotFoundError as error:
        raise FaceRejectedError(
            stage, "missing", f"{uri} was listed, but is not there any more, or is a broken link"
        ) from error


class _TableReader:
    """Rows of Parquet files, of which only the row groups that hold one are read.

    Batches go through a file in order, several to a group: the last file's layout and its
    last groups are kept.
    """

    def __init__(self) -> None:
        self._uri = ""
        self._layout: pq.FileMetaData | None = None
        self._groups: dict[int, pa.Table] = {}

    def rows(self, uri: str, places: Sequence[int]) -> list[Row]:
        """The rows at these places of a file, in their order."""
        if uri != self._uri:
            self._uri, self._layout, self._groups = uri, None, {}
        if self._layout is None:
            with open_file(uri) as file:
                self._layout = pq.read_metadata(file)
        layout = self._layout
        counts = [layout.row_group(i).num_rows for i in range(layout.num_row_groups)]
        starts = np.cumsum([0, *counts])
        groups = np.searchsorted(starts, places, side="right") - 1
        self._keep(uri, layout, sorted(set(groups.tolist())))
        return [
            self._groups[group].slice(place - int(starts[group]), 1).to_pylist()[0]
            for group, place in zip(groups.tolist(), places, strict=True)
        ]

    def _keep(self, uri: str, layout: pq.FileMetaData, wanted: list[int]) -> None:
        missing = [group for group in wanted if group not in self._groups]
        if missing:
            with open_file(uri) as file:
                parquet = pq.ParquetFile(file, metadata=layout, pre_buffer=True)
                names = ("image", "landmarks", "landmarks_suffix")
                there = [name for name in names if name in parquet.schema_arrow.names]
                for group in missing:
                    self._groups[group] = parquet.read_row_group(group, columns=there)
        self._groups = {group: self._groups[group] for group in wanted}


def _from_row(row: Row) -> FetchedPhoto:
    landmarks = row.get("landmarks")
    if landmarks is None:
        return FetchedPhoto(row["image"] or b"", None, "")
    if isinstance(landmarks, bytes):
        return FetchedPhoto(row["image"] or b"", landmarks, row.get("landmarks_suffix") or ".npy")
    # Numbers: as a file of them would be read, so that they are checked alike.
    buffer = io.BytesIO()
    flat = np.asarray(landmarks, np.float64).ravel()
    np.save(buffer, flat.reshape(-1, 2) if flat.size % 2 == 0 else flat)
    return FetchedPhoto(row["image"] or b"", buffer.getvalue(), ".npy")
