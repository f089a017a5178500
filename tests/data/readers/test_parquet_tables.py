from pathlib import Path

import numpy as np
import pytest

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import PHOTO_SCHEMA, TEST_SUBSETS, list_photos
from rayboot.errors import FaceRejectedError, RequestError
from tests.data.readers.layouts import fetch_photos, write_parquet

POINTS = np.arange(136, dtype=float).reshape(68, 2)


def test_rows_of_parquet_files_are_photos(tmp_path: Path) -> None:
    images = [bytes([n]) * (n + 1) for n in range(8)]
    write_parquet(tmp_path / "a.parquet", image=images[:5])
    write_parquet(tmp_path / "sub/b.parquet", image=images[5:])
    table = list_photos(str(tmp_path))
    assert table.schema == PHOTO_SCHEMA
    assert table["face_id"].to_pylist()[:2] == ["a.parquet/00000000", "a.parquet/00000001"]
    assert [photo.photo for photo in fetch_photos(str(tmp_path)).values()] == images
    single_file = fetch_photos(str(tmp_path / "a.parquet"))
    assert [photo.photo for photo in single_file.values()] == images[:5]


def test_names_groups_and_landmarks_come_from_the_table(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "a.parquet",
        image=[b"1", b"2"],
        face_id=["y", "x"],
        group_id=["g", "g"],
        landmarks=[POINTS.ravel().tolist(), None],
    )
    table = list_photos(str(tmp_path))
    assert table["face_id"].to_pylist() == ["x", "y"]
    assert table["group_id"].to_pylist() == ["g", "g"]
    photos = fetch_photos(str(tmp_path))
    assert photos["x"] == FetchedPhoto(b"2", None, "")
    landmarks = photos["y"].landmarks
    assert landmarks is not None
    assert np.array_equal(
        read_landmarks(landmarks, photos["y"].landmarks_suffix, (500, 500)), POINTS
    )


def test_rows_are_fetched_in_any_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", image=[bytes([n]) for n in range(10)])
    write_parquet(tmp_path / "b.parquet", image=[bytes([n]) for n in range(10, 20)])
    rows = list_photos(str(tmp_path)).to_pylist()
    fetcher = PhotoFetcher()
    for order in ([9, 1, 4, 1], [19, 0, 10, 2], [0, 1, 2]):
        photos = fetcher.fetch([rows[number] for number in order])
        assert photos == [FetchedPhoto(bytes([number]), None, "") for number in order]


def test_test_subsets_are_left_out_by_default(tmp_path: Path) -> None:
    names = ["Menpo-3D/a.jpg", f"{TEST_SUBSETS[0]}/indoor_001.png"]
    write_parquet(tmp_path / "a.parquet", image=[b"1", b"2"], face_id=names)
    assert list_photos(str(tmp_path))["face_id"].to_pylist() == names[:1]
    assert len(list_photos(str(tmp_path), include_test=True)) == 2


def test_a_table_without_images_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", picture=[b"1"])
    with pytest.raises(RequestError, match=r"expected a column `image`.*got the columns picture"):
        list_photos(str(tmp_path))


def test_data_sets_of_hugging_face_are_read(tmp_path: Path) -> None:
    """Columns of the kind Image: a struct of bytes and path, one of which may be null."""
    images = [
        {"bytes": b"1", "path": "a.jpg"},
        {"bytes": b"2", "path": None},
        {"bytes": None, "path": "elsewhere/c.jpg"},
        None,
    ]
    write_parquet(tmp_path / "data/train-00000-of-00001.parquet", image=images, label=[1, 2, 3, 4])
    table = list_photos(str(tmp_path))
    assert len(table) == 4
    first, second, absent, empty = PhotoFetcher().fetch(table.to_pylist())
    assert (first, second) == (FetchedPhoto(b"1", None, ""), FetchedPhoto(b"2", None, ""))
    assert isinstance(absent, FaceRejectedError)
    assert (absent.reason, "elsewhere/c.jpg" in absent.message) == ("missing", True)
    assert empty == FetchedPhoto(b"", None, "")


@pytest.mark.parametrize("image", [["a.jpg"], [{"path": "a.jpg"}], [[1, 2, 3]]])
def test_other_columns_of_that_name_are_refused(tmp_path: Path, image: list) -> None:
    write_parquet(tmp_path / "a.parquet", image=image)
    with pytest.raises(RequestError, match="`image` with the bytes of photos, or"):
        list_photos(str(tmp_path))
