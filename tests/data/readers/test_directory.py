import pytest

from rayboot.data.readers import PHOTO_SCHEMA, TEST_SUBSETS, list_photos
from rayboot.errors import RequestError


@pytest.fixture
def make_set(tmp_path):
    """A data set of empty files: a listing opens none."""

    def make(*names):
        for name in names:
            file = tmp_path / "LS3D-W" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"12345")
        return str(tmp_path / "LS3D-W")

    return make


def column(table, name):
    """The values of a column by photo."""
    return dict(zip(table["face_id"].to_pylist(), table[name].to_pylist(), strict=True))


def test_ls3d_w_is_read_as_it_lies_on_disk(make_set):
    photos = [
        "300VW-3D/CatA/114/0001.jpg",
        "300VW-3D/CatA/114/0002.jpg",
        "300VW-3D/CatB/114/0001.jpg",
        "300VW-3D/Trainset/001/0001.jpg",
        "Menpo-3D/aflw__face_39844.jpg",
        "new_dataset/0001.jpg",
    ]
    uri = make_set(*photos, *(name.replace(".jpg", ".t7") for name in photos))
    table = list_photos(uri)
    assert table.schema == PHOTO_SCHEMA
    assert table["face_id"].to_pylist() == photos
    assert table["source_uri"].to_pylist() == [f"{uri}/{name}" for name in photos]
    assert column(table, "landmarks_uri")[photos[0]] == f"{uri}/300VW-3D/CatA/114/0001.t7"
    assert table["num_bytes"].to_pylist() == [5] * len(photos)
    assert list(column(table, "dataset").values()) == 4 * ["300VW-3D"] + ["Menpo-3D", "new_dataset"]
    # A video is one group, a single photo another; numbers of videos repeat between categories.
    assert list(column(table, "group_id").values()) == [
        "300VW-3D/CatA/114",
        "300VW-3D/CatA/114",
        "300VW-3D/CatB/114",
        "300VW-3D/Trainset/001",
        "Menpo-3D/aflw__face_39844.jpg",
        "new_dataset/0001.jpg",
    ]


def test_the_test_subsets_wait_until_they_are_asked_for(make_set):
    names = [f"{subset}/indoor_001.png" for subset in TEST_SUBSETS]
    uri = make_set("Menpo-3D/a.jpg", *names)
    assert list_photos(uri)["face_id"].to_pylist() == ["Menpo-3D/a.jpg"]
    everything = list_photos(uri, include_test=True)
    assert set(everything["face_id"].to_pylist()) == {"Menpo-3D/a.jpg", *names}
    # Named itself, a subset is asked for.
    assert len(list_photos(f"{uri}/{TEST_SUBSETS[0]}")) == 1


def test_a_part_of_300vw_has_its_videos_too(make_set):
    uri = make_set("300VW-3D/CatA/114/0001.jpg", "300VW-3D/CatA/205/0001.jpg")
    category = list_photos(f"{uri}/300VW-3D/CatA/")
    assert column(category, "group_id") == {"114/0001.jpg": "114", "205/0001.jpg": "205"}
    video = list_photos(f"{uri}/300VW-3D/CatA/114")
    assert column(video, "group_id") == {"0001.jpg": "114"}


def test_lfw_has_a_group_for_each_person(make_set):
    people = ["Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0002.jpg", "Bo_Ek/Bo_Ek_0001.jpg"]
    table = list_photos(make_set(*people))
    assert list(column(table, "group_id").values()) == ["Ann_Lee", "Ann_Lee", "Bo_Ek"]
    assert table["landmarks_uri"].null_count == 3


def test_a_flat_folder_has_a_group_for_each_photo(make_set):
    table = list_photos(make_set("a.jpg", "b.png", "LS3D-W_1.jpg"))
    assert table["group_id"].to_pylist() == table["face_id"].to_pylist()
    assert set(table["dataset"].to_pylist()) == {"LS3D-W"}


def test_face_ids_are_unique(make_set):
    names = [f"{folder}/{stem}.{end}" for folder in "ab" for stem in "12" for end in ("jpg", "png")]
    ids = list_photos(make_set(*names))["face_id"].to_pylist()
    assert ids == sorted(names) and len(set(ids)) == len(names)


def test_landmarks_are_those_of_the_same_stem(make_set):
    uri = make_set(
        *("a.jpg", "a.pts", "a.mat", "a.T7"),
        *("b.JPG", "b.PTS"),
        *("c.x.jpg", "c.npy"),
        *("d/e.jpg", "e.t7"),
    )
    landmarks = column(list_photos(uri), "landmarks_uri")
    assert landmarks == {
        "a.jpg": f"{uri}/a.T7",  # .t7 first, then .pts
        "b.JPG": f"{uri}/b.PTS",
        "c.x.jpg": None,
        "d/e.jpg": None,
    }


def test_what_is_no_photo_is_left_out(make_set):
    junk = [
        *(".DS_Store", "Thumbs.db", "readme.txt", "labels.csv", "b.t7", "jpg", "movie.mp4"),
        # Named like photos, but none: macOS's shadow files, unfinished writes, caches.
        *("._a.jpg", "__MACOSX/a.jpg", "__MACOSX/._a.jpg", ".cache/a.jpg", ".a.jpg.k3x9.jpg"),
    ]
    assert list_photos(make_set("a.jpg", *junk))["face_id"].to_pylist() == ["a.jpg"]


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["300W-Testset-3D/indoor_001.png"]])
def test_a_set_without_photos_is_refused(make_set, names):
    with pytest.raises(RequestError, match="no photo found"):
        list_photos(make_set(*names))


def test_a_single_photo_is_no_set(make_set):
    with pytest.raises(RequestError, match="expected a folder"):
        list_photos(make_set("a.jpg") + "/a.jpg")


def test_an_unreachable_set_is_refused():
    with pytest.raises(RequestError, match="nostore"):
        list_photos("nostore://bucket/set")


@pytest.mark.s3
def test_a_bucket_is_listed_like_a_folder(s3_server, monkeypatch):
    from rayboot.io.storage import write_bytes

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    uri = "s3://ready/photos"
    for name in ("300VW-3D/CatA/114/0001.jpg", "300VW-3D/CatA/114/0001.t7", "b.jpg"):
        write_bytes(f"{uri}/{name}", b"12345")
    table = list_photos(uri)
    assert column(table, "landmarks_uri") == {
        "300VW-3D/CatA/114/0001.jpg": f"{uri}/300VW-3D/CatA/114/0001.t7",
        "b.jpg": None,
    }
    assert column(table, "group_id")["300VW-3D/CatA/114/0001.jpg"] == "300VW-3D/CatA/114"


def test_the_shared_photos_are_listed(shared_dir):
    faces = shared_dir / "faces"
    people = list_photos(str(faces / "lfw-deepfunneled"))
    assert len(people) == len(set(people["group_id"].to_pylist())) == 350
    marked = list_photos(str(faces / "300W"))
    assert len(marked) == 103 and marked["landmarks_uri"].null_count == 0
