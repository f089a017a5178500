import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from rayboot.data.readers import build_photo_table
from rayboot.errors import RequestError
from rayboot.pipeline.listing import (
    list_inputs,
    mark_duplicates,
    require_other_folder,
    subsample_videos,
)


def write(folder: Path, name: str, payload: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(payload)


def test_a_repeated_photo_names_the_first(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", b"same")
    write(tmp_path, "b.jpg", b"same")
    write(tmp_path, "c.jpg", b"else")
    write(tmp_path, "sub/d.jpg", b"same")
    table = mark_duplicates(list_inputs(str(tmp_path)))
    assert table.select(["face_id", "duplicate_of"]).to_pylist() == [
        {"face_id": "a.jpg", "duplicate_of": None},
        {"face_id": "b.jpg", "duplicate_of": "a.jpg"},
        {"face_id": "c.jpg", "duplicate_of": None},
        {"face_id": "sub/d.jpg", "duplicate_of": "a.jpg"},
    ]


def test_the_same_photo_with_other_landmarks_is_another_face(tmp_path: Path) -> None:
    for name, landmarks in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        write(tmp_path, f"{name}.jpg", b"same")
        write(tmp_path, f"{name}.pts", landmarks)
    table = mark_duplicates(list_inputs(str(tmp_path)))
    assert table["duplicate_of"].to_pylist() == [None, None, "a.jpg"]


def test_names_of_several_inputs_begin_with_their_folders(tmp_path: Path) -> None:
    write(tmp_path, "one/x.jpg", b"1")
    write(tmp_path, "two/x.jpg", b"2")
    table = list_inputs((str(tmp_path / "one"), str(tmp_path / "two")))
    assert table["face_id"].to_pylist() == ["one/x.jpg", "two/x.jpg"]
    assert table["group_id"].to_pylist() == ["one/x.jpg", "two/x.jpg"]
    assert table["dataset"].to_pylist() == ["one", "two"]
    write(tmp_path, "deep/one/x.jpg", b"3")
    with pytest.raises(RequestError, match="different names"):
        list_inputs((str(tmp_path / "one"), str(tmp_path / "deep/one")))


def test_single_photos_are_inputs_beside_folders(tmp_path: Path) -> None:
    for name in ("one/x.jpg", "two/x.jpg", "two/y.jpg", "set/x.jpg"):
        write(tmp_path, name, name.encode())
    write(tmp_path, "one/x.pts", b"points")
    one, two, other, folder = (
        str(tmp_path / name) for name in ("one/x.jpg", "two/x.jpg", "two/y.jpg", "set")
    )
    alone = list_inputs(one)
    assert alone["face_id"].to_pylist() == ["x.jpg"]
    # All of its row is that of the folder's listing, landmarks included.
    assert alone.to_pylist() == list_inputs(str(tmp_path / "one")).to_pylist()
    assert list_inputs((one, other))["face_id"].to_pylist() == ["x.jpg", "y.jpg"]
    assert list_inputs((one, two))["face_id"].to_pylist() == ["one/x.jpg", "two/x.jpg"]
    mixed = list_inputs((folder, other))
    assert mixed["face_id"].to_pylist() == ["set/x.jpg", "y.jpg"]
    for twice in ((one, one), (folder, f"{folder}/x.jpg", one)):
        with pytest.raises(RequestError, match="two photos have the name"):
            list_inputs(twice)


def test_a_file_that_is_no_photo_is_refused_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, "a.psd", b"8BPS")
    with pytest.raises(RequestError, match=r"no photo found.*1 file .*\.psd"):
        list_inputs(str(tmp_path / "a.psd"))


def test_tags_mark_duplicates_across_the_chunks_of_a_listing() -> None:
    names = [f"{letter}.jpg" for letter in "abcdef"]
    tags = ["x", "y", None, "x", "y", "x"]
    sizes = [1, 2, 3, 1, 2, 1]
    table = build_photo_table("/photos", names, source_uri=names, num_bytes=sizes, tag=tags)
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2, 3), table.slice(5)])
    expected = [None, None, None, "a.jpg", "b.jpg", "a.jpg"]
    for listing in (table, chunked):
        assert mark_duplicates(listing)["duplicate_of"].to_pylist() == expected


def test_a_copy_in_an_archive_is_a_duplicate_of_a_tagged_photo(tmp_path: Path) -> None:
    """Stores tag single files alone; what they were unpacked from may be beside them."""
    write(tmp_path, "set/a.jpg", b"12345")
    write(tmp_path, "set/b.jpg", b"123456")
    with tarfile.open(tmp_path / "set/old.tar", "w") as archive:
        archive.add(tmp_path / "set/a.jpg", "a.jpg")
    photos = list_inputs(str(tmp_path / "set"))
    tags = pa.array(["x", "y", None], pa.string())
    tagged = photos.set_column(photos.schema.get_field_index("tag"), "tag", tags)
    assert photos["face_id"].to_pylist() == ["a.jpg", "b.jpg", "old/a.jpg"]
    for listing in (photos, tagged):
        assert mark_duplicates(listing)["duplicate_of"].to_pylist() == [None, None, "a.jpg"]
    (mark,) = mark_duplicates(tagged.slice(2), mark_duplicates(tagged.slice(0, 2)))["duplicate_of"]
    assert mark.as_py() == "a.jpg"


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        ("in", "in", "another folder than the input"),
        ("in", "in/out", "outside of the input"),
        (("other", "in"), "in/a/b/out", "outside of the input"),
        ("in", "link/out", "outside of the input"),
        ("link", "in/out", "outside of the input"),
        ("in", "in/away", "outside of the input"),
        ("in", "other/../in/out", "outside of the input"),
        ("s3://bucket/in", "s3://bucket/in/out", "outside of the input"),
        ("s3://bucket", "s3a://bucket/out", "outside of the input"),
        ("s3://bucket/in/", "s3://bucket/in", "another folder than the input"),
        ("simplecache::s3://bucket/in", "s3://bucket/in/out/", "outside of the input"),
    ],
)
def test_an_output_among_the_photos_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inputs: str | tuple[str, ...],
    output: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "other", "else"):
        (tmp_path / folder).mkdir()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "in/away").symlink_to(tmp_path / "else")
    with pytest.raises(RequestError, match=words):
        require_other_folder(inputs, output)


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ("in", "in2"),
        ("in", "out"),
        ("in/photos", "in"),
        ("in/a.jpg", "in/out"),
        ("in", "in/away/../out"),
        ("s3://bucket/in", "s3://bucket/in2"),
        ("s3://bucket/in", "s3://other/in/out"),
        ("s3://bucket/in", "in/out"),
    ],
)
def test_other_outputs_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "else/deep").mkdir(parents=True)
    (tmp_path / "in/away").symlink_to(tmp_path / "else/deep")
    require_other_folder(inputs, output)


def test_videos_are_subsampled_from_their_first_frame() -> None:
    frames = [f"300VW-3D/Trainset/{video}/{i}.jpg" for i in range(4) for video in ("001", "002")]
    names = [*frames[:5], "alone.jpg", *frames[5:]]
    photos = build_photo_table("/set", names, source_uri=names)
    kept = subsample_videos(photos, 2)["face_id"].to_pylist()
    assert kept == [*frames[:2], frames[4], "alone.jpg", frames[5]]
    assert subsample_videos(photos, 1)["face_id"].to_pylist() == names
