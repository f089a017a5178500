import errno
from pathlib import Path

import pytest

from rayboot.data.readers import FetchedPhoto
from rayboot.data.readers.byte_ranges import fetch_byte_ranges
from rayboot.errors import FaceRejectedError
from rayboot.io.storage import read_bytes

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


def test_a_file_that_must_not_be_read_is_an_error_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not hold for root, who runs tests in containers.
    secret, allowed = str(tmp_path / "secret"), str(tmp_path / "allowed")
    Path(allowed).write_bytes(b"1")

    def read(uri: str) -> bytes:
        if uri == secret:
            raise PermissionError(errno.EACCES, "Permission denied", uri)
        return read_bytes(uri)

    monkeypatch.setattr("rayboot.data.readers.byte_ranges.read_bytes", read)
    rows = [
        {**EMPTY, "source_uri": secret},
        {**EMPTY, "source_uri": allowed, "landmarks_uri": secret},
        {**EMPTY, "source_uri": allowed},
    ]
    no_photo, no_landmarks, complete = fetch_byte_ranges(rows, num_requests=1)
    assert isinstance(no_photo, FaceRejectedError) and isinstance(no_landmarks, FaceRejectedError)
    assert (no_photo.stage, no_photo.reason) == ("read", "forbidden")
    assert (no_landmarks.stage, no_landmarks.reason) == ("landmarks", "forbidden")
    assert "Permission denied" in no_photo.message
    assert complete == FetchedPhoto(b"1", None, "")


def test_a_folder_in_the_place_of_a_file_is_an_error_of_its_row(tmp_path: Path) -> None:
    (reject,) = fetch_byte_ranges([{**EMPTY, "source_uri": str(tmp_path)}], num_requests=1)
    assert isinstance(reject, FaceRejectedError) and reject.reason == "missing"
