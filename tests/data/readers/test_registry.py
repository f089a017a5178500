"""Listing a data set by whichever readers are registered."""

from pathlib import Path

import pytest

from rayboot.data import readers
from rayboot.data.readers import PHOTO_SCHEMA, TEST_SUBSETS, list_photos
from rayboot.data.readers.unread import unread_note
from rayboot.errors import RequestError
from tests.data.readers.layouts import MakeDataset, fetch_photos, write_parquet, write_tar
from tests.data.readers.toy_layout import HexLines


@pytest.fixture
def toy_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, HexLines))


@pytest.mark.usefixtures("toy_layout")
def test_a_new_layout_is_one_file_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.hex").write_text("00ff\nabcd\n")
    table = list_photos(str(tmp_path))
    assert table.schema == PHOTO_SCHEMA
    assert table["face_id"].to_pylist() == ["a.hex/0", "a.hex/1"]
    photos = fetch_photos(str(tmp_path))
    assert [photo.photo for photo in photos.values()] == [b"\x00\xff", b"\xab\xcd"]


@pytest.mark.usefixtures("toy_layout")
def test_layouts_are_listed_together(tmp_path: Path) -> None:
    (tmp_path / "b.hex").write_text("02\n")
    write_parquet(tmp_path / "c.parquet", image=[b"\x03"])
    write_tar(tmp_path / "a.tar", {"x.jpg": b"\x01"})
    photos = fetch_photos(str(tmp_path))
    assert list(photos) == ["a/x.jpg", "b.hex/0", "c.parquet/00000000"]
    assert [photo.photo for photo in photos.values()] == [b"\x01", b"\x02", b"\x03"]


def test_ground_truth_beside_photos_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"1")
    write_parquet(tmp_path / "truth/part.parquet", vertices=[b"2"])
    write_parquet(tmp_path / "labels.parquet", image=["photo.jpg"], age=[31])
    photos = list_photos(str(tmp_path))
    assert photos["face_id"].to_pylist() == ["photo.jpg"]
    assert unread_note(photos) == ""


def test_tables_that_may_have_photos_are_named(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"1")
    write_parquet(tmp_path / "a.parquet", picture=[b"2"])
    write_parquet(tmp_path / "b.parquet", row=[{"bytes": b"2"}])
    note = unread_note(list_photos(str(tmp_path)))
    assert note.startswith(
        "2 Parquet files have no column `image` of bytes and are not read (a.par"
    )


def test_hidden_files_and_other_kinds_are_left_out(make_dataset: MakeDataset) -> None:
    others = [
        *(".DS_Store", "Thumbs.db", "readme.txt", "labels.csv", "b.t7", "jpg", "movie.mp4"),
        # Named like photos, but none: macOS's shadow files, unfinished writes, caches.
        *("._a.jpg", "__MACOSX/a.jpg", "__MACOSX/._a.jpg", ".cache/a.jpg", ".a.jpg.k3x9.jpg"),
    ]
    uri = make_dataset("a.jpg", *others)
    assert list_photos(uri)["face_id"].to_pylist() == ["a.jpg"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no photo found"):
        list_photos(str(tmp_path))


@pytest.mark.parametrize("names", [["readme.txt"], [f"{TEST_SUBSETS[0]}/indoor_001.png"]])
def test_a_data_set_without_photos_is_refused(make_dataset: MakeDataset, names: list[str]) -> None:
    with pytest.raises(RequestError, match=r"no photo found.*\.jpg.*rayboot pack.*\.tar"):
        list_photos(make_dataset(*names))


def test_a_single_photo_is_listed_as_in_its_folder(make_dataset: MakeDataset) -> None:
    folder = make_dataset("a.jpg", "a.t7", "b.jpg")
    first, _ = list_photos(folder).to_pylist()
    assert list_photos(f"{folder}/a.jpg").to_pylist() == [first]
    assert first["landmarks_uri"].endswith("a.t7")


def test_an_unknown_store_is_refused() -> None:
    with pytest.raises(RequestError, match="nostore"):
        list_photos("nostore://bucket/set")
