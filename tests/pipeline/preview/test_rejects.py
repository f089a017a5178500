from pathlib import Path

import pytest

from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.io.parquet import write_table
from rayboot.pipeline.output_layout import LISTING
from rayboot.pipeline.preview import rejects as module
from rayboot.pipeline.preview.rejects import RejectGroup, read_reject_groups
from tests.data.pair_sets import write_rejects
from tests.data.readers.archives import write_tar
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
    problems = {name: groups[name].photos[0].problem for name in ("missing", "truncated", "crashed")}
    assert problems["missing"] == "cannot be read: missing"
    assert problems["truncated"] == "cannot be read: truncated"
    # The source could be decoded here; in a run it ended the process, and may do so again.
    assert problems["crashed"].startswith("not opened again")
    assert all(groups[name].photos[0].image is None for name in problems)
