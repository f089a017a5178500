from hypothesis import assume, given
from hypothesis import strategies as st

from rayboot.data.readers.groups import (
    TEST_SUBSETS,
    dataset_name,
    group_id,
    is_test_photo,
    video_folder,
)

FOLDERS = st.text("abcXYZ019_-. ", min_size=1, max_size=8).filter(lambda name: name.strip(". "))
PATHS = st.lists(FOLDERS, max_size=4).map("/".join)
FILES = st.integers(0, 9999).map("{:04d}.jpg".format)
ROOTS = st.sampled_from(["/data/set", "s3://bucket/set/", "set"])


@given(ROOTS, st.sampled_from(["Trainset", "CatA", "CatB", "CatC"]), FOLDERS, FILES, FILES)
def test_frames_of_a_video_are_one_group(
    root: str, subset: str, video: str, first: str, second: str
) -> None:
    names = [f"300VW-3D/{subset}/{video}/{file}" for file in (first, second)]
    assert {group_id(root, name) for name in names} == {f"300VW-3D/{subset}/{video}"}
    assert all(video_folder(root, name) is not None for name in names)
    # The same holds where the listed folder is the subset, or the video itself.
    parent = f"{root.rstrip('/')}/300VW-3D/{subset}"
    assert group_id(parent, f"{video}/{first}") == video
    assert group_id(f"{parent}/{video}/", first) == video


@given(ROOTS, FOLDERS, FILES, FILES)
def test_photos_of_a_person_are_one_group(root: str, person: str, first: str, second: str) -> None:
    assume(person not in ("Trainset", "CatA", "CatB", "CatC"))
    names = [f"{person}/{person}_{file}" for file in (first, second)]
    assert {group_id(root, name) for name in names} == {person}
    assert not any(video_folder(root, name) for name in names)


@given(ROOTS, PATHS, FILES)
def test_a_group_is_the_photo_or_a_folder_of_it(root: str, folder: str, file: str) -> None:
    name = f"{folder}/{file}" if folder else file
    assert group_id(root, name) in (name, folder)
    assert dataset_name(root, name) == (folder.split("/")[0] if folder else "set")


@given(PATHS, st.sampled_from(TEST_SUBSETS), PATHS, FILES)
def test_any_folder_of_a_test_subset_reserves_a_photo(
    before: str, subset: str, after: str, file: str
) -> None:
    parts = [part for part in (before, subset, after, file) if part]
    assert is_test_photo("/".join(parts))
    assert not is_test_photo(f"{before}/{subset}.jpg")


def test_versions_of_one_photo_are_one_group() -> None:
    """300W-LP has up to 18 versions of a photo, each rotated further, and their mirror images."""
    root = "/data/300W_LP"
    names = ["AFW/AFW_134212_1_0.jpg", "AFW/AFW_134212_1_17.jpg", "AFW_Flip/AFW_134212_1_3.jpg"]
    assert {group_id(root, name) for name in names} == {"AFW/AFW_134212_1"}
    # The second face of that photo, and the same number of another subset.
    assert group_id(root, "AFW/AFW_134212_2_0.jpg") == "AFW/AFW_134212_2"
    train = [f"LFPW/LFPW_image_train_0001_{number}.jpg" for number in range(3)]
    assert {group_id(root, name) for name in train} == {"LFPW/LFPW_image_train_0001"}
    assert group_id(f"{root}/AFW", "AFW_134212_1_0.jpg") == "AFW/AFW_134212_1"
    assert group_id("/data", "300W_LP/HELEN/HELEN_1_2.jpg") == "300W_LP/HELEN/HELEN_1"
    assert group_id(root, "AFW/other_1.jpg") == "AFW/other_1.jpg"
