from pathlib import Path

from rayboot.data.fetch import FetchedPhoto
from rayboot.data.readers import PHOTO_SCHEMA, list_photos
from rayboot.data.readers.unread import unread_note
from tests.data.readers.layouts import fetch_photos, write_tar


def test_members_of_tar_files_are_photos(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "shard-000.tar",
        {"p/1.jpg": b"one", "p/1.t7": b"marks", "2.png": b"two", "2.json": b"{}"},
    )
    for uri in (str(tmp_path), str(tmp_path / "shard-000.tar")):
        table = list_photos(uri)
        assert table.schema == PHOTO_SCHEMA
        assert table["face_id"].to_pylist() == ["shard-000/2.png", "shard-000/p/1.jpg"]
        assert list(fetch_photos(uri).values()) == [
            FetchedPhoto(b"two", None, ""),
            FetchedPhoto(b"one", b"marks", ".t7"),
        ]


def test_pictures_in_tar_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard-000.tar", {"1.jpg": b"one", "raw/2.dng": b"two", "3.txt": b""})
    note = unread_note(list_photos(str(tmp_path)))
    assert note.startswith("1 file looks like a picture and is not read: 1 .dng")
    assert "shard-000/raw/2.dng" in note
