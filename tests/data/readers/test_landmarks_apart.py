"""Landmark files that are not where they are read."""

from pathlib import Path

import pytest

from rayboot.data.readers import list_photos
from rayboot.data.readers.unread import unread_note
from tests.data.readers.layouts import MakeDataset, write_tar


@pytest.mark.parametrize(
    "name", ["landmarks/x.pts", "points/x.t7", "lmks/x.npy", "landmarks/set/x_pts.ljson"]
)
def test_landmarks_in_another_folder_are_named(make_dataset: MakeDataset, name: str) -> None:
    photos = list_photos(make_dataset("images/x.jpg", "images/y.jpg", "images/y.pts", name))
    assert photos["landmarks_uri"].null_count == 1
    note = unread_note(photos)
    assert note.startswith(f"1 landmark file is not next to its photo and is not read ({name});")


@pytest.mark.parametrize(
    "name",
    ["images/x.pts", "landmarks/images/x_pts.mat", "masks/x.npy", "landmarks/z.pts", "text/x.txt"],
)
def test_others_are_read_or_of_no_photo(make_dataset: MakeDataset, name: str) -> None:
    assert unread_note(list_photos(make_dataset("images/x.jpg", name))) == ""


def test_landmarks_of_photos_in_an_archive(make_dataset: MakeDataset) -> None:
    uri = make_dataset("x.pts", "landmarks/y.pts")
    write_tar(Path(uri) / "a.tar", {"x.jpg": b"1", "y.jpg": b"2"})
    assert "2 landmark files are not next to their photos" in unread_note(list_photos(uri))
