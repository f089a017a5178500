from pathlib import Path

from rayboot.data.readers import FetchedPhoto
from rayboot.data.readers.byte_ranges import fetch_byte_ranges
from rayboot.errors import FaceRejectedError

EMPTY = {
    "source_offset": None,
    "num_bytes": None,
    "landmarks_uri": None,
    "landmarks_offset": None,
    "landmarks_bytes": None,
    "landmarks_suffix": None,
}


def test_whole_files_and_ranges_are_fetched_in_order(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    uri = str(tmp_path / "file")
    part = {**EMPTY, "source_uri": uri, "source_offset": 2, "num_bytes": 3}
    marked = {**part, "landmarks_uri": uri, "landmarks_offset": 0, "landmarks_bytes": 1}
    rows = [part, {**EMPTY, "source_uri": uri}, {**marked, "landmarks_suffix": ".pts"}]
    assert fetch_byte_ranges(rows, num_requests=2) == [
        FetchedPhoto(b"234", None, ""),
        FetchedPhoto(b"0123456789", None, ""),
        FetchedPhoto(b"234", b"0", ".pts"),
    ]


def test_a_missing_file_is_an_error_of_its_row(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    photo, missing = str(tmp_path / "file"), str(tmp_path / "gone")
    rows = [
        {**EMPTY, "source_uri": missing},
        {**EMPTY, "source_uri": photo, "landmarks_uri": missing},
        {**EMPTY, "source_uri": photo},
    ]
    no_photo, no_landmarks, complete = fetch_byte_ranges(rows, num_requests=4)
    assert isinstance(no_photo, FaceRejectedError) and isinstance(no_landmarks, FaceRejectedError)
    assert (no_photo.stage, no_photo.reason) == ("read", "missing")
    assert (no_landmarks.stage, no_landmarks.reason) == ("landmarks", "missing")
    assert complete == FetchedPhoto(b"1", None, "")
