from typing import Any

import pyarrow as pa
import pytest

from rayboot.data.readers import PHOTO_SCHEMA, build_photo_table
from rayboot.pipeline.input_changes import InputChanges, compare_listings, describe_changes


def listing(**photos: dict[str, Any]) -> pa.Table:
    """Photos by name, with the fields that are not null."""
    columns = {
        field: [row.get(field) for row in photos.values()]
        for field in ("tag", "num_bytes", "landmarks_bytes")
    }
    return build_photo_table("s3://photos", list(photos), **columns)


def stored(**photos: dict[str, Any]) -> pa.Table:
    table = listing(**photos)
    return table.append_column("duplicate_of", pa.nulls(len(table), pa.string()))


TAGGED = {"tag": "1", "num_bytes": 9}
PLAIN = {"num_bytes": 9, "landmarks_bytes": 5}
OTHER = {"tag": "3", "num_bytes": 1}


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (TAGGED, TAGGED, False),
        (TAGGED, {**TAGGED, "tag": "2"}, True),
        # The store's tag is the content; sizes are not asked then.
        (TAGGED, {**TAGGED, "num_bytes": None}, False),
        (PLAIN, PLAIN, False),
        (PLAIN, {**PLAIN, "num_bytes": 8}, True),
        (PLAIN, {**PLAIN, "landmarks_bytes": None}, True),
        ({"num_bytes": 9}, PLAIN, True),
        # A multipart upload has no tag.
        (TAGGED, {"num_bytes": 9}, False),
        (TAGGED, {"num_bytes": 8}, True),
        ({}, {}, False),
    ],
)
def test_a_photo_is_changed_if_its_tag_or_else_its_size_is(
    before: dict[str, Any], now: dict[str, Any], changed: bool
) -> None:
    present = listing(a=now, b=OTHER)
    update = compare_listings(stored(a=before, b=OTHER), present, present, prune=False)
    assert update.taken_out == (["a"] if changed else [])
    assert update.num_to_do == update.changes.num_changed == int(changed)
    assert sorted(update.listing["face_id"].to_pylist()) == ["a", "b"]
    assert update.listing.schema.names == [*PHOTO_SCHEMA.names, "duplicate_of"]


def test_new_photos_follow_those_that_were_listed() -> None:
    present = listing(a=TAGGED, b={"tag": "2"}, c=TAGGED, d={"tag": "4"})
    update = compare_listings(stored(b={"tag": "2"}, d={"tag": "4"}), present, present, prune=False)
    # c has the content of a.
    assert update.listing.select(["face_id", "duplicate_of"]).to_pylist() == [
        {"face_id": "b", "duplicate_of": None},
        {"face_id": "d", "duplicate_of": None},
        {"face_id": "a", "duplicate_of": None},
        {"face_id": "c", "duplicate_of": "a"},
    ]
    assert update.changes == InputChanges(num_new=2)


def test_the_one_that_was_listed_first_stays_the_original() -> None:
    present = listing(a=TAGGED, b=TAGGED)
    update = compare_listings(stored(b=TAGGED), present, present, prune=False)
    assert update.listing["duplicate_of"].to_pylist() == [None, "b"]


def test_frames_that_take_no_part_are_not_gone() -> None:
    present = listing(a=TAGGED, b={"tag": "2"}, c={"tag": "3"})
    taking_part = present.slice(0, 1)
    update = compare_listings(stored(a=TAGGED, b={"tag": "2"}), present, taking_part, prune=True)
    assert (update.changes.num_gone, update.num_to_do) == (0, 0)


def test_photos_that_are_gone_stay_unless_they_are_pruned() -> None:
    present = listing(a=TAGGED)
    before = stored(a=TAGGED, b={"tag": "2"})
    kept = compare_listings(before, present, present, prune=False)
    assert (len(kept.listing), kept.taken_out, kept.changes.num_gone) == (2, [], 1)
    assert "1 photo is no longer in the input (b): its row stays" in describe_changes(kept.changes)
    assert "--prune takes it out" in describe_changes(kept.changes)
    pruned = compare_listings(before, present, present, prune=True)
    assert (pruned.listing["face_id"].to_pylist(), pruned.taken_out) == (["a"], ["b"])
    assert "its row was taken out" in describe_changes(pruned.changes)


def test_nothing_is_said_where_nothing_differs() -> None:
    assert describe_changes(InputChanges()) == ""
