from pathlib import Path

import pytest

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.errors import StoreError
from rayboot.io.parquet import write_table
from rayboot.pipeline.output_layout import LISTING
from rayboot.pipeline.preview.rejects import (
    MAX_GROUPS,
    MAX_PHOTOS,
    RejectGroup,
    read_reject_groups,
)
from tests.data.pair_sets import write_rejects
from tests.data.readers.layouts import write_tar
from tests.pipeline.preview.pairs import reject, write_mixed_pairs

FILES = ["outcome=reject/part.parquet"]


@pytest.fixture
def groups(tmp_path: Path) -> dict[str, RejectGroup]:
    found = read_reject_groups(write_mixed_pairs(tmp_path), FILES)
    return {group.reason: group for group in found}


def test_reasons_are_counted_the_most_frequent_first(groups: dict[str, RejectGroup]) -> None:
    assert [(group.stage, group.reason, group.num_photos) for group in groups.values()] == [
        ("select", "not-frontal", 3),
        ("read", "crashed", 1),
        ("read", "duplicate", 1),
        ("read", "missing", 1),
        ("read", "truncated", 1),
    ]
    names = [photo.face_id for photo in groups["not-frontal"].photos]
    assert names == ["side-0.jpg", "side-1.jpg", "side-2.jpg"]
    assert groups["missing"].photos[0].message == "gone.jpg is missing"


def test_thumbnails_come_from_the_data_set_or_the_source(groups: dict[str, RejectGroup]) -> None:
    for reason in ("not-frontal", "duplicate"):
        photo = groups[reason].photos[0]
        assert photo.image is not None and photo.problem == ""
        assert decode_photo(photo.image).mean() == pytest.approx(90, abs=2)


def test_photos_that_cannot_be_read_say_why(groups: dict[str, RejectGroup]) -> None:
    problems = {
        name: groups[name].photos[0].problem for name in ("missing", "truncated", "crashed")
    }
    assert problems["missing"] == "cannot be read: missing"
    assert problems["truncated"] == "cannot be read: truncated"
    # The source could be decoded here; in a run it ended the process, and may do so again.
    assert problems["crashed"].startswith("not opened again")
    assert all(groups[name].photos[0].image is None for name in problems)


def test_photos_in_archives_are_found_by_the_listing(tmp_path: Path) -> None:
    uri = Path(write_mixed_pairs(tmp_path))
    write_tar(tmp_path / "photos.tar", {"a.jpg": (tmp_path / "source.jpg").read_bytes()})
    listing = list_photos(str(tmp_path / "photos.tar"))
    write_table(str(uri / LISTING), listing)
    (name,) = listing["face_id"].to_pylist()
    archive = str(tmp_path / "photos.tar")
    write_rejects(uri, [reject(name, "read", "duplicate", source_uri=archive)], "archive")
    (group,) = read_reject_groups(str(uri), ["outcome=reject/archive.parquet"])
    assert group.photos[0].image is not None, group.photos[0].problem


def test_a_photo_in_an_unlisted_archive_says_so(tmp_path: Path) -> None:
    photos = [
        reject("a.jpg", "read", "duplicate", source_uri="photos.tar"),
        reject("b.jpg", "read", "duplicate"),
    ]
    (group,) = read_reject_groups(write_rejects(tmp_path / "pairs", photos), FILES)
    assert {photo.problem for photo in group.photos} == {"its place in an archive is unknown"}


def test_a_store_that_is_unavailable_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(self: object, rows: object) -> None:
        asked.append(rows)
        raise StoreError("unavailable")

    monkeypatch.setattr(PhotoFetcher, "fetch", fetch)
    photos = [
        reject(f"{i}.jpg", "read", f"reason-{i}", source_uri="s3://x/y.jpg") for i in range(40)
    ]
    groups = read_reject_groups(write_rejects(tmp_path / "pairs", photos), FILES)
    assert len(groups) == 40
    problems = {group.photos[0].problem for group in groups}
    assert problems == {"the store of the photo is unavailable"}
    assert len(asked) == 1


def test_few_photos_of_few_reasons_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    photos = [
        reject(f"{reason}-{i}.jpg", "read", f"reason-{reason:02d}", thumbnail=b"x")
        for reason in range(MAX_GROUPS + 2)
        for i in range(2 * MAX_PHOTOS if reason == 0 else 1)
    ]
    groups = read_reject_groups(write_rejects(tmp_path / "pairs", photos), FILES)
    assert [group.num_photos for group in groups] == [2 * MAX_PHOTOS, *[1] * (MAX_GROUPS + 1)]
    shown = [len(group.photos) for group in groups]
    assert shown == [MAX_PHOTOS, *[1] * (MAX_GROUPS - 1), 0, 0]


def test_a_data_set_without_rejects_has_no_groups(tmp_path: Path) -> None:
    assert read_reject_groups(str(tmp_path), []) == []
    assert read_reject_groups(write_rejects(tmp_path / "pairs", []), FILES) == []
