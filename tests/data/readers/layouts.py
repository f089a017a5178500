"""Photo data sets in every layout, written for tests."""

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.errors import FaceRejectedError

MakeDataset = Callable[..., str]
"""Creates loose files of five bytes, by name, and returns the URI of their folder."""


def write_parquet(path: Path, **columns: Sequence[Any]) -> None:
    """Writes a Parquet file in row groups of three rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=3)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, payload in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            archive.addfile(member, io.BytesIO(payload))


def fetch_all(uri: str) -> dict[str, FetchedPhoto | FaceRejectedError]:
    """Lists a data set and fetches its photos, by name."""
    rows = list_photos(uri).to_pylist()
    return dict(zip((r["face_id"] for r in rows), PhotoFetcher().fetch(rows), strict=True))


def fetch_photos(uri: str) -> dict[str, FetchedPhoto]:
    """Lists a data set whose files all exist and fetches its photos, by name."""
    photos = fetch_all(uri)
    assert not any(isinstance(photo, FaceRejectedError) for photo in photos.values())
    return {k: photo for k, photo in photos.items() if isinstance(photo, FetchedPhoto)}


def values_by_photo(table: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(table["face_id"].to_pylist(), table[column].to_pylist(), strict=True))
