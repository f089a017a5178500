"""The output of ``rayboot pack``, written here without Ray."""

import shutil
from pathlib import Path

import pytest

from rayboot.data.fetch import FetchedPhoto
from rayboot.data.readers import INDEX_NAME, PACKED_SCHEMA, PHOTO_SCHEMA, list_photos
from rayboot.data.readers.base import build_photo_table
from rayboot.io.parquet import write_table
from tests.data.readers.layouts import fetch_photos, write_parquet, write_tar

NAMES = ["set/a.jpg", "set/b.jpg", "set/c.jpg"]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A packed set of two files, whose order is not that of the names."""
    rows = {"b": ("0.parquet", 0), "a": ("1.parquet", 0), "c": ("1.parquet", 1)}
    for file in ("0.parquet", "1.parquet"):
        photos = [name for name, (part, _) in rows.items() if part == file]
        columns = {
            "face_id": [f"set/{name}.jpg" for name in photos],
            "image": [name.encode() for name in photos],
            "landmarks": [b"marks" if name == "a" else None for name in photos],
            "landmarks_suffix": [".pts" if name == "a" else None for name in photos],
        }
        names = [name for name in PACKED_SCHEMA.names if name in columns]
        table = PACKED_SCHEMA.empty_table().select(names)
        table = type(table).from_pydict(columns, schema=table.schema)
        write_table(str(tmp_path / file), table)
    index = build_photo_table(
        "",
        NAMES,
        source_uri=[rows[Path(name).stem][0] for name in NAMES],
        source_offset=[rows[Path(name).stem][1] for name in NAMES],
        landmarks_uri=["1.parquet", None, None],
        landmarks_suffix=[".pts", None, None],
        tag=["x", "y", "z"],
    )
    write_table(str(tmp_path / INDEX_NAME), index)
    return tmp_path


def test_the_index_is_the_listing(packed: Path) -> None:
    table = list_photos(str(packed))
    assert table["face_id"].to_pylist() == NAMES
    assert table["tag"].to_pylist() == ["x", "y", "z"]
    parts = [f"{packed}/{number}.parquet" for number in (1, 0, 1)]
    assert table["source_uri"].to_pylist() == parts
    assert table["landmarks_uri"].to_pylist() == [parts[0], None, None]
    assert table.cast(PHOTO_SCHEMA).schema == PHOTO_SCHEMA
    assert list_photos(f"{packed}/{INDEX_NAME}") == table


def test_photos_are_fetched_from_the_tables(packed: Path) -> None:
    assert list(fetch_photos(str(packed)).values()) == [
        FetchedPhoto(b"a", b"marks", ".pts"),
        FetchedPhoto(b"b", None, ""),
        FetchedPhoto(b"c", None, ""),
    ]


def test_other_photos_beside_an_index_are_listed_too(packed: Path) -> None:
    """Each row of the set once: its tables are not read again."""
    write_tar(packed / "more.tar", {"a.jpg": b"a"})
    (packed / "d.jpg").write_bytes(b"d")
    write_parquet(packed / "e.parquet", image=[b"e"])
    photos = fetch_photos(str(packed))
    assert list(photos) == ["d.jpg", "e.parquet/00000000", "more/a.jpg", *NAMES]
    assert photos["set/a.jpg"] == FetchedPhoto(b"a", b"marks", ".pts")


def test_sets_in_subfolders_are_read(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    for name in ("one", "two"):
        shutil.copytree(packed, folder / name, ignore=lambda *_: ["both"])
    photos = fetch_photos(str(folder))
    names = [f"{name}/{photo}" for name in ("one", "two") for photo in NAMES]
    assert list(photos) == names
    assert photos["two/set/b.jpg"].photo == b"b"
    assert list_photos(str(folder))["group_id"].to_pylist() == names
