import unicodedata

import pytest

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.readers.base import (
    PHOTO_SCHEMA,
    build_photo_table,
    folder_and_files,
    is_photo,
    match_landmarks,
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
        files = dict.fromkeys(["x/a.jpg", "b.png", *names])
        assert match_landmarks(["x/a.jpg", "b.png"], files) == [f"x/a{suffix.upper()}", None]


def test_landmarks_of_300w_lp_are_in_a_folder_of_their_own() -> None:
    files = dict.fromkeys(
        ["LP/AFW/a_0.jpg", "LP/AFW/a_0.mat", "LP/landmarks/AFW/a_0_pts.mat", "LP/AFW/b_0.mat"]
    )
    photos = ["LP/AFW/a_0.jpg", "LP/AFW/b_0.jpg", "AFW/a_0.jpg"]
    assert match_landmarks(photos, files) == [
        "LP/landmarks/AFW/a_0_pts.mat",
        "LP/AFW/b_0.mat",
        None,
    ]
    assert match_landmarks(["AFW/c.jpg"], {"landmarks/AFW/c_pts.mat": 1}) == [
        "landmarks/AFW/c_pts.mat"
    ]


def test_accents_may_be_written_in_two_ways() -> None:
    composed, decomposed = (unicodedata.normalize(f, "x/Zo\u00eb") for f in ("NFC", "NFD"))
    assert composed != decomposed
    for photo, marks in ((composed, decomposed), (decomposed, composed)):
        assert match_landmarks([f"{photo}.jpg"], {f"{marks}.pts": 9}) == [f"{marks}.pts"]
    both = {f"{composed}.pts": 9, f"{decomposed}.pts": 9}
    assert match_landmarks([f"{decomposed}.jpg"], both) == [f"{decomposed}.pts"]


def test_a_text_that_is_too_short_is_a_caption() -> None:
    files = {"a.txt": 40, "b.txt": 4000, "c.txt": None, "d.pts": 40}
    photos = [f"{stem}.jpg" for stem in "abcd"]
    assert match_landmarks(photos, files) == [None, "b.txt", "c.txt", "d.pts"]


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
