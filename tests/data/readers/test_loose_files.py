from pathlib import Path

import pytest

from rayboot.data.readers import PHOTO_SCHEMA, TEST_SUBSETS, list_photos
from rayboot.io.storage import write_bytes
from tests.data.readers.layouts import MakeDataset, values_by_photo
from tests.s3 import S3Server


def test_ls3d_w_is_listed_with_its_videos(make_dataset: MakeDataset) -> None:
    photos = [
        "300VW-3D/CatA/114/0001.jpg",
        "300VW-3D/CatA/114/0002.jpg",
        "300VW-3D/CatB/114/0001.jpg",
        "300VW-3D/Trainset/001/0001.jpg",
        "Menpo-3D/aflw__face_39844.jpg",
        "new_dataset/0001.jpg",
    ]
    uri = make_dataset(*photos, *(name.replace(".jpg", ".t7") for name in photos))
    table = list_photos(uri)
    assert table.schema == PHOTO_SCHEMA
    assert table["face_id"].to_pylist() == photos
    assert table["source_uri"].to_pylist() == [f"{uri}/{name}" for name in photos]
    landmarks = values_by_photo(table, "landmarks_uri")
    assert landmarks[photos[0]] == f"{uri}/300VW-3D/CatA/114/0001.t7"
    assert table["num_bytes"].to_pylist() == [5] * len(photos)
    assert table["dataset"].to_pylist() == 4 * ["300VW-3D"] + ["Menpo-3D", "new_dataset"]
    # A video is one group, a single photo another; numbers of videos repeat between categories.
    assert table["group_id"].to_pylist() == [
        "300VW-3D/CatA/114",
        "300VW-3D/CatA/114",
        "300VW-3D/CatB/114",
        "300VW-3D/Trainset/001",
        "Menpo-3D/aflw__face_39844.jpg",
        "new_dataset/0001.jpg",
    ]


def test_test_subsets_are_left_out_by_default(make_dataset: MakeDataset) -> None:
    names = [f"{subset}/indoor_001.png" for subset in TEST_SUBSETS]
    uri = make_dataset("Menpo-3D/a.jpg", *names)
    assert list_photos(uri)["face_id"].to_pylist() == ["Menpo-3D/a.jpg"]
    everything = list_photos(uri, include_test=True)
    assert set(everything["face_id"].to_pylist()) == {"Menpo-3D/a.jpg", *names}
    # A subset that is itself the input is listed.
    assert len(list_photos(f"{uri}/{TEST_SUBSETS[0]}")) == 1


def test_a_part_of_300vw_has_its_videos_too(make_dataset: MakeDataset) -> None:
    uri = make_dataset("300VW-3D/CatA/114/0001.jpg", "300VW-3D/CatA/205/0001.jpg")
    category = list_photos(f"{uri}/300VW-3D/CatA/")
    groups = {"114/0001.jpg": "114", "205/0001.jpg": "205"}
    assert values_by_photo(category, "group_id") == groups
    video = list_photos(f"{uri}/300VW-3D/CatA/114")
    assert values_by_photo(video, "group_id") == {"0001.jpg": "114"}


def test_lfw_has_a_group_for_each_person(make_dataset: MakeDataset) -> None:
    people = ["Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0002.jpg", "Bo_Ek/Bo_Ek_0001.jpg"]
    table = list_photos(make_dataset(*people))
    assert table["group_id"].to_pylist() == ["Ann_Lee", "Ann_Lee", "Bo_Ek"]
    assert table["landmarks_uri"].null_count == 3


def test_a_flat_folder_has_a_group_for_each_photo(make_dataset: MakeDataset) -> None:
    table = list_photos(make_dataset("a.jpg", "b.png", "LS3D-W_1.jpg"))
    assert table["group_id"].to_pylist() == table["face_id"].to_pylist()
    assert set(table["dataset"].to_pylist()) == {"LS3D-W"}


def test_face_ids_are_unique(make_dataset: MakeDataset) -> None:
    names = [f"{folder}/{stem}.{end}" for folder in "ab" for stem in "12" for end in ("jpg", "png")]
    ids = list_photos(make_dataset(*names))["face_id"].to_pylist()
    assert ids == sorted(names) and len(set(ids)) == len(names)


def test_landmarks_are_those_of_the_same_stem(make_dataset: MakeDataset) -> None:
    uri = make_dataset(
        *("a.jpg", "a.pts", "a.mat", "a.T7"),
        *("b.JPG", "b.PTS"),
        *("c.x.jpg", "c.npy"),
        *("d/e.jpg", "e.t7"),
    )
    assert values_by_photo(list_photos(uri), "landmarks_uri") == {
        "a.jpg": f"{uri}/a.T7",  # .t7 first, then .pts
        "b.JPG": f"{uri}/b.PTS",
        "c.x.jpg": None,
        "d/e.jpg": None,
    }


@pytest.mark.s3
def test_a_bucket_is_listed_like_a_folder(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    uri = "s3://ready/photos"
    for name in ("300VW-3D/CatA/114/0001.jpg", "300VW-3D/CatA/114/0001.t7", "b.jpg"):
        write_bytes(f"{uri}/{name}", b"12345")
    table = list_photos(uri)
    assert values_by_photo(table, "landmarks_uri") == {
        "300VW-3D/CatA/114/0001.jpg": f"{uri}/300VW-3D/CatA/114/0001.t7",
        "b.jpg": None,
    }
    groups = values_by_photo(table, "group_id")
    assert groups["300VW-3D/CatA/114/0001.jpg"] == "300VW-3D/CatA/114"


def test_the_shared_photos_are_listed(shared_dir: Path) -> None:
    faces = shared_dir / "faces"
    people = list_photos(str(faces / "lfw-deepfunneled"))
    assert len(people) == len(set(people["group_id"].to_pylist())) == 350
    marked = list_photos(str(faces / "300W"))
    assert len(marked) == 103 and marked["landmarks_uri"].null_count == 0
