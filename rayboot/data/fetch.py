"""The bytes of listed photos and of their landmarks, wherever they lie."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from rayboot.data.patience import patiently
from rayboot.data.storage import open_file, read_bytes, read_range
from rayboot.errors import FaceRejectedError

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

    def fetch(self, rows: Sequence[Row]) -> list[FetchedPhoto | FaceRejectedError]:
        """The photos of rows of :data:`rayboot.data.photos.PHOTO_SCHEMA`, in their order.

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
            found.update(zip(indices, _fetch_from_table(uri, places), strict=True))
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
            return patiently(lambda: read_bytes(uri), uri)
        return patiently(lambda: read_range(uri, offset, length), uri)
    except FileNotFoundError as error:
        raise FaceRejectedError(
            stage, "missing", f"{uri} was listed, but is not there any more, or is a broken link"
        ) from error


def _fetch_from_table(uri: str, places: Sequence[int]) -> list[FetchedPhoto]:
    """Rows of a Parquet file; of the file only the row groups that hold one are read."""
    return patiently(lambda: _read_rows(uri, places), uri)


def _read_rows(uri: str, places: Sequence[int]) -> list[FetchedPhoto]:
    with open_file(uri) as file:
        parquet = pq.ParquetFile(file)
        counts = [
            parquet.metadata.row_group(i).num_rows for i in range(parquet.metadata.num_row_groups)
        ]
        starts = np.cumsum([0, *counts])
        groups = np.searchsorted(starts, places, side="right") - 1
        wanted = [int(group) for group in np.unique(groups)]
        names = ("image", "landmarks", "landmarks_suffix")
        there = [name for name in names if name in parquet.schema_arrow.names]
        table = parquet.read_row_groups(wanted, columns=there)
    first = dict(zip(wanted, np.cumsum([0, *(counts[g] for g in wanted)]), strict=False))
    rows = [first[int(g)] + place - starts[g] for g, place in zip(groups, places, strict=True)]
    return [_from_row(row) for row in table.take(rows).to_pylist()]


def _from_row(row: dict[str, Any]) -> FetchedPhoto:
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
