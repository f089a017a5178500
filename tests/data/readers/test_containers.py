"""Photos in Parquet and tar files: listed and fetched as loose ones are."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import PHOTO_SCHEMA, TEST_SUBSETS, list_photos
from rayboot.errors import FaceRejectedError, RequestError

POINTS = np.arange(136, dtype=float).reshape(68, 2)


def write_table(path: Path, **columns: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=3)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, payload in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            archive.addfile(member, io.BytesIO(payload))


def fetch(uri: str) -> dict[str, FetchedPhoto | FaceRejectedError]:
    rows = list_photos(uri).to_pylist()
    return dict(zip((r["face_id"] for r in rows), PhotoFetcher().fetch(rows), strict=True))


def test_rows_of_parquet_files_are_photos(tmp_path: Path) -> None:
    photos = [bytes([n]) * (n + 1) for n in range(8)]
    write_table(tmp_path / "a.parquet", image=photos[:5])
    write_table(tmp_path / "sub/b.parquet", image=photos[5:])
    table = list_photos(str(tmp_path))
    assert table.schema == PHOTO_SCHEMA
    assert table["face_id"].to_pylist()[:2] == ["a.parquet/00000000", "a.parquet/00000001"]
    assert [found.photo for found in fetch(str(tmp_path)).values()] == photos
    one = fetch(str(tmp_path / "a.parquet"))
    assert [found.photo for found in one.values()] == photos[:5]


def test_a_tables_own_names_groups_and_landmarks_are_taken(tmp_path: Path) -> None:
    write_table(
        tmp_path / "a.parquet",
        image=[b"1", b"2"],
        face_id=["y", "x"],
        group_id=["g", "g"],
        landmarks=[POINTS.ravel().tolist(), None],
    )
    table = list_photos(str(tmp_path))
    assert table["face_id"].to_pylist() == ["x", "y"]
    assert table["group_id"].to_pylist() == ["g", "g"]
    found = fetch(str(tmp_path))
    assert found["x"] == FetchedPhoto(b"2", None, "")
    points = read_landmarks(found["y"].landmarks, found["y"].landmarks_suffix, (500, 500))
    assert np.array_equal(points, POINTS)


def test_only_the_row_groups_asked_for_are_read(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", image=[bytes([n]) for n in range(10)])
    rows = list_photos(str(tmp_path)).to_pylist()
    chosen = [rows[9], rows[1], rows[4], rows[1]]
    assert [found.photo[0] for found in PhotoFetcher().fetch(chosen)] == [9, 1, 4, 1]


def test_members_of_tar_files_are_photos(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "shard-000.tar",
        {"p/1.jpg": b"one", "p/1.t7": b"marks", "2.png": b"two", "2.json": b"{}"},
    )
    table = list_photos(str(tmp_path))
    assert table["face_id"].to_pylist() == ["shard-000/2.png", "shard-000/p/1.jpg"]
    assert list(fetch(str(tmp_path)).values()) == [
        FetchedPhoto(b"two", None, ""),
        FetchedPhoto(b"one", b"marks", ".t7"),
    ]


def test_test_subsets_in_tables_wait_too(tmp_path: Path) -> None:
    names = ["Menpo-3D/a.jpg", f"{TEST_SUBSETS[0]}/indoor_001.png"]
    write_table(tmp_path / "a.parquet", image=[b"1", b"2"], face_id=names)
    assert list_photos(str(tmp_path))["face_id"].to_pylist() == names[:1]
    assert len(list_photos(str(tmp_path), include_test=True)) == 2


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "a/a.parquet", picture=[b"1"])
    with pytest.raises(RequestError, match="expected a column `image`"):
        list_photos(str(tmp_path / "a"))
    for name in ("x", "y"):
        write_table(tmp_path / f"b/{name}.parquet", image=[b"1"], face_id=["same"])
    with pytest.raises(RequestError, match="two photos have the name same"):
        list_photos(str(tmp_path / "b"))


def test_loose_photos_are_fetched_with_their_landmarks(tmp_path: Path) -> None:
    for name, payload in (("a.jpg", b"1"), ("a.pts", b"2"), ("b.png", b"3"), ("c.jpg", b"4")):
        (tmp_path / name).write_bytes(payload)
    rows = list_photos(str(tmp_path)).to_pylist()
    (tmp_path / "c.jpg").unlink()
    a, b, c = PhotoFetcher().fetch(rows)
    assert (a, b) == (FetchedPhoto(b"1", b"2", ".pts"), FetchedPhoto(b"3", None, ""))
    assert isinstance(c, FaceRejectedError)
    assert c.reason == "missing"
