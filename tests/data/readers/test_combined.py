"""Folders in which photos are stored in several layouts: each photo is listed, once."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from rayboot.data.readers import list_photos
from rayboot.data.readers.combined import list_by_readers
from rayboot.data.readers.loose_files import LooseFiles
from rayboot.data.readers.tar_files import TarFiles
from rayboot.errors import RequestError
from rayboot.io.storage import Entry, list_entries
from tests.data.readers.layouts import fetch_photos, write_parquet, write_tar


def test_photos_of_all_layouts_are_listed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jpg").write_bytes(b"1")
    write_parquet(tmp_path / "sub/b.parquet", image=[b"2"])
    write_tar(tmp_path / "C.TAR", {"x.jpg": b"3"})
    photos = fetch_photos(str(tmp_path))
    assert {name: photo.photo for name, photo in photos.items()} == {
        "C/x.jpg": b"3",
        "sub/a.jpg": b"1",
        "sub/b.parquet/00000000": b"2",
    }
    assert list(photos) == sorted(photos)


def test_an_unpacked_archive_keeps_the_names_of_the_loose_photos(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x.jpg": b"1", "y.jpg": b"2"})
    write_parquet(tmp_path / "t.parquet", image=[b"3"], face_id=["a/x.jpg"])
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.jpg").write_bytes(b"1")
    photos = fetch_photos(str(tmp_path))
    assert {name: photo.photo for name, photo in photos.items()} == {
        "a/x.jpg": b"1",
        "a/y.jpg": b"2",
        "a.tar/a/x.jpg": b"1",
        "t.parquet/a/x.jpg": b"3",
    }
    groups = {row["face_id"]: row["group_id"] for row in list_photos(str(tmp_path)).to_pylist()}
    assert groups["a.tar/a/x.jpg"] == groups["a/x.jpg"] == "a/x.jpg"


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"1")
    for name in ("x", "y"):
        write_parquet(tmp_path / f"{name}.parquet", image=[b"1"], face_id=["same"])
    with pytest.raises(RequestError, match="two photos have the name same"):
        list_photos(str(tmp_path))


def test_a_reader_gets_the_files_that_are_left(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    write_tar(tmp_path / "b.tar", {"x.jpg": b"3"})
    seen: list[list[str]] = []

    class Rest(TarFiles):
        def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
            seen.append(list(entries))
            return super().list_photos(uri, entries)

    uri = str(tmp_path)
    photos, readers = list_by_readers(uri, list_entries(uri), [LooseFiles(), Rest(), TarFiles()])
    assert photos["face_id"].to_pylist() == ["a.jpg", "b/x.jpg"]
    assert seen == [["b.tar"]]
    assert [type(reader) for reader in readers] == [LooseFiles, Rest]
