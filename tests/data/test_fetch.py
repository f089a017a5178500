import pickle
from pathlib import Path

import pytest

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.errors import FaceRejectedError, RaybootError
from tests.data.readers.layouts import write_parquet, write_tar


def test_loose_photos_are_fetched_with_their_landmarks(tmp_path: Path) -> None:
    for name, payload in (("a.jpg", b"1"), ("a.pts", b"2"), ("b.png", b"3"), ("c.jpg", b"4")):
        (tmp_path / name).write_bytes(payload)
    rows = list_photos(str(tmp_path)).to_pylist()
    (tmp_path / "c.jpg").unlink()
    a, b, c = PhotoFetcher().fetch(rows)
    assert (a, b) == (FetchedPhoto(b"1", b"2", ".pts"), FetchedPhoto(b"3", None, ""))
    assert isinstance(c, FaceRejectedError)
    assert c.reason == "missing"


def test_a_batch_may_mix_layouts(tmp_path: Path) -> None:
    for folder in ("loose", "tables", "archives"):
        (tmp_path / folder).mkdir()
    (tmp_path / "loose/a.jpg").write_bytes(b"loose")
    write_parquet(tmp_path / "tables/b.parquet", image=[b"row 0", b"row 1"])
    write_tar(tmp_path / "archives/c.tar", {"c.jpg": b"member"})
    rows = [
        row
        for folder in ("tables", "loose", "archives")
        for row in list_photos(str(tmp_path / folder)).to_pylist()
    ]
    fetcher = PhotoFetcher()
    contents = [b"row 0", b"row 1", b"loose", b"member"]
    for order in ([0, 1, 2, 3], [3, 1, 2, 0]):
        photos = fetcher.fetch([rows[number] for number in order])
        assert photos == [FetchedPhoto(contents[number], None, "") for number in order]
    # An actor's fetcher may be moved to another process.
    assert pickle.loads(pickle.dumps(fetcher)).fetch(rows[:1]) == photos[3:]
    assert fetcher.fetch([]) == []


def test_a_row_of_an_unknown_layout_is_refused() -> None:
    row = {"face_id": "a", "source_uri": "/set/a.zip", "source_offset": 3}
    with pytest.raises(RaybootError, match=r"photo a: no reader for /set/a\.zip"):
        PhotoFetcher().fetch([row])
