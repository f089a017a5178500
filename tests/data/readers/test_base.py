import pytest

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.readers.base import (
    PHOTO_SCHEMA,
    build_photo_table,
    find_landmarks,
    folder_and_files,
    is_photo,
)


def test_columns_keep_their_names_and_order() -> None:
    # Runs store their listings, so another version must find the same columns.
    columns = (
        "face_id source_uri source_offset num_bytes landmarks_uri landmarks_offset landmarks_bytes "
        "landmarks_suffix tag dataset group_id is_frame is_test"
    )
    assert PHOTO_SCHEMA.names == columns.split()


def test_columns_that_are_not_given_follow_from_the_names_or_are_null() -> None:
    names = ["300VW-3D/CatA/114/0001.jpg", "300W-Testset-3D/indoor_001.png"]
    table = build_photo_table("/LS3D-W", names, num_bytes=[1, 2], group_id=["own", "names"])
    assert table.schema == PHOTO_SCHEMA
    assert table["num_bytes"].to_pylist() == [1, 2]
    assert table["group_id"].to_pylist() == ["own", "names"]
    assert table["dataset"].to_pylist() == ["300VW-3D", "300W-Testset-3D"]
    assert table["is_frame"].to_pylist() == [True, False]
    assert table["is_test"].to_pylist() == [False, True]
    assert table["source_uri"].null_count == 2


def test_of_several_landmark_files_the_first_kind_is_chosen() -> None:
    for number, suffix in enumerate(LANDMARK_SUFFIXES):
        names = [f"x/a{s.upper()}" for s in LANDMARK_SUFFIXES[number:]]
        assert find_landmarks(["x/a.jpg", "b.png", *names]) == {"x/a": f"x/a{suffix.upper()}"}


@pytest.mark.parametrize(
    ("uri", "folder", "file"),
    [
        ("/data/a.tar", "/data", "a.tar"),
        ("/a.tar", "/", "a.tar"),
        ("a.tar", "", "a.tar"),
        ("s3://bucket/data/a.tar", "s3://bucket/data", "a.tar"),
    ],
)
def test_a_single_file_is_a_file_of_its_folder(uri: str, folder: str, file: str) -> None:
    assert folder_and_files(uri, ["."]) == (folder, [file])
    assert folder_and_files(folder, {file: None}) == (folder, [file])


def test_suffixes_of_photos_are_of_any_case() -> None:
    assert is_photo("a/b.JPG") and is_photo("b.tiff")
    assert not is_photo("jpg") and not is_photo("a.jpg/readme") and not is_photo("a.mat")
