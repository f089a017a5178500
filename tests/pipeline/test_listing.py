from pathlib import Path

import pyarrow as pa
import pytest

from rayboot.data.readers import build_photo_table
from rayboot.errors import RequestError
from rayboot.pipeline.listing import list_inputs, mark_duplicates, subsample_videos


def put(folder: Path, name: str, payload: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(payload)


def test_a_photo_met_again_names_the_first(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", b"same")
    put(tmp_path, "b.jpg", b"same")
    put(tmp_path, "c.jpg", b"else")
    put(tmp_path, "sub/d.jpg", b"same")
    table = mark_duplicates(list_inputs(str(tmp_path)))
    found = dict(zip(table["face_id"].to_pylist(), table["duplicate_of"].to_pylist(), strict=True))
    assert found == {"a.jpg": None, "b.jpg": "a.jpg", "c.jpg": None, "sub/d.jpg": "a.jpg"}


def test_the_same_photo_with_other_landmarks_is_another_face(tmp_path: Path) -> None:
    for name, landmarks in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        put(tmp_path, f"{name}.jpg", b"same")
        put(tmp_path, f"{name}.pts", landmarks)
    table = mark_duplicates(list_inputs(str(tmp_path)))
    assert table["duplicate_of"].to_pylist() == [None, None, "a.jpg"]


def test_several_inputs_keep_their_names_apart(tmp_path: Path) -> None:
    put(tmp_path, "one/x.jpg", b"1")
    put(tmp_path, "two/x.jpg", b"2")
    table = list_inputs((str(tmp_path / "one"), str(tmp_path / "two")))
    assert table["face_id"].to_pylist() == ["one/x.jpg", "two/x.jpg"]
    assert table["group_id"].to_pylist() == ["one/x.jpg", "two/x.jpg"]
    assert table["dataset"].to_pylist() == ["one", "two"]
    put(tmp_path, "deep/one/x.jpg", b"3")
    with pytest.raises(RequestError, match="different names"):
        list_inputs((str(tmp_path / "one"), str(tmp_path / "deep/one")))


def test_tags_tell_duplicates_across_the_pieces_of_a_listing() -> None:
    names = [f"{letter}.jpg" for letter in "abcdef"]
    tags = ["x", "y", None, "x", "y", "x"]
    table = build_photo_table(
        "/photos", names, source_uri=names, num_bytes=[1, 2, 3, 1, 2, 1], tag=tags
    )
    pieces = pa.concat_tables([table.slice(0, 2), table.slice(2, 3), table.slice(5)])
    expected = [None, None, None, "a.jpg", "b.jpg", "a.jpg"]
    for listing in (table, pieces):
        assert mark_duplicates(listing)["duplicate_of"].to_pylist() == expected


def test_videos_are_thinned_from_their_first_frame_on() -> None:
    frames = [f"300VW-3D/Trainset/{video}/{i}.jpg" for i in range(4) for video in ("001", "002")]
    names = [*frames[:5], "alone.jpg", *frames[5:]]
    kept = subsample_videos(build_photo_table("/set", names, source_uri=names), 2)[
        "face_id"
    ].to_pylist()
    assert kept == [*frames[:2], frames[4], "alone.jpg", frames[5]]
    assert subsample_videos(build_photo_table("/set", names), 1)["face_id"].to_pylist() == names
