"""Comparison of a stored listing with the input as it is now: what is new, changed and gone.

A photo is new if its ``face_id`` was not listed. It is changed if its tag is another one; where a
store has no tags, as local disks, if the size of photo or landmarks is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.counts import describe_count
from rayboot.data.readers import PHOTO_SCHEMA
from rayboot.pipeline.listing import mark_duplicates

__all__ = ["InputChanges", "ListingUpdate", "compare_listings", "describe_changes"]

_SIZES = ("num_bytes", "landmarks_bytes")
_NUM_EXAMPLES = 3


class InputChanges(NamedTuple):
    """How an input differs from the one that an output was made of.

    Attributes:
        num_new: Number of photos that were added.
        num_changed: Number of photos whose content is another one.
        num_gone: Number of photos that are no longer in the input.
        gone_examples: Some of their names.
        pruned: Whether the rows of the photos that are gone are taken out.
    """

    num_new: int = 0
    num_changed: int = 0
    num_gone: int = 0
    gone_examples: tuple[str, ...] = ()
    pruned: bool = False


class ListingUpdate(NamedTuple):
    """The listing of a run that follows its input.

    Attributes:
        listing: Photos that were listed before and stay, then those that are new or changed.
        taken_out: ``face_id`` of photos whose rows are no longer right: they are processed again,
            unless they were pruned.
        num_to_do: Number of photos of the listing that have no row after that.
        changes: What differs.
    """

    listing: pa.Table
    taken_out: list[str]
    num_to_do: int
    changes: InputChanges


def compare_listings(
    stored: pa.Table, present: pa.Table, taking_part: pa.Table, prune: bool
) -> ListingUpdate:
    """Compares a stored listing with the input as it is now.

    Args:
        stored: Listing of the run; if it has ``duplicate_of``, duplicates are marked in the new
            one as well.
        present: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, every photo of the input that
            may take part.
        taking_part: Those of ``present`` that a new run would list; of videos some frames only.
        prune: Whether photos that are gone are taken out of the listing.
    """
    is_gone = pc.invert(pc.is_in(stored["face_id"], value_set=present["face_id"]))
    gone = stored["face_id"].filter(is_gone).to_pylist()
    is_new = pc.invert(pc.is_in(taking_part["face_id"], value_set=stored["face_id"]))
    changed = _changed_ids(stored, present)
    replaced = pa.array([*changed, *(gone if prune else [])], pa.string())
    kept = stored.filter(pc.invert(pc.is_in(stored["face_id"], value_set=replaced)))
    marks_duplicates = "duplicate_of" in stored.column_names
    released: list[str] = []
    if marks_duplicates:
        kept, released = _release_duplicates(kept, set(replaced.to_pylist()))
    is_changed = pc.is_in(present["face_id"], value_set=pa.array(changed, pa.string()))
    added = [taking_part.filter(is_new), present.filter(is_changed)]
    new = pa.concat_tables([part.cast(PHOTO_SCHEMA) for part in added]).sort_by("face_id")
    if marks_duplicates:
        new = mark_duplicates(new, kept)
    num_new = len(added[0])
    return ListingUpdate(
        pa.concat_tables([kept, new], promote_options="default"),
        [*replaced.to_pylist(), *released],
        len(new) + len(released),
        InputChanges(num_new, len(changed), len(gone), tuple(gone[:_NUM_EXAMPLES]), prune),
    )


def _changed_ids(stored: pa.Table, present: pa.Table) -> list[str]:
    """Returns the ids of photos that are in both listings with other content."""
    columns = ["face_id", "tag", *_SIZES]
    place = pc.index_in(stored["face_id"], value_set=present["face_id"])
    both = stored.select(columns).filter(pc.is_valid(place))
    now = present.select(columns).take(place.drop_null())
    differs = pc.fill_null(pc.not_equal(both["tag"], now["tag"]), False)
    has_tags = pc.and_(pc.is_valid(both["tag"]), pc.is_valid(now["tag"]))
    for name in _SIZES:
        # A landmark file that was added or removed is a change as well.
        before, after = (pc.fill_null(table[name], -1) for table in (both, now))
        differs = pc.or_(differs, pc.and_(pc.invert(has_tags), pc.not_equal(before, after)))
    ids: list[str] = both["face_id"].filter(differs).to_pylist()
    return ids


def _release_duplicates(listing: pa.Table, originals: set[str]) -> tuple[pa.Table, list[str]]:
    """Makes duplicates of photos that are replaced stand for themselves, the first of each group.

    Returns:
        The listing, and the ids of these duplicates.
    """
    firsts: dict[str, str] = {}
    released: list[str] = []
    duplicate_of = listing["duplicate_of"].to_pylist()
    for index, original in enumerate(duplicate_of):
        if original is not None and original in originals:
            face_id = listing["face_id"][index].as_py()
            duplicate_of[index] = firsts.get(original)
            firsts.setdefault(original, face_id)
            released.append(face_id)
    if not released:
        return listing, []
    column = listing.schema.get_field_index("duplicate_of")
    values = pa.array(duplicate_of, pa.string())
    return listing.set_column(column, "duplicate_of", values), released


def describe_changes(changes: InputChanges, remedy: str = "--prune") -> str:
    """Returns sentences on what differs; empty where nothing does."""
    sentences: Sequence[str] = []
    if changes.num_new or changes.num_changed:
        was, were = "was added to the input", "were added to the input"
        new = describe_count(changes.num_new, "photo", was, were)
        verb = "was" if changes.num_changed == 1 else "were"
        of_changed = f" and {changes.num_changed} {verb} changed" if changes.num_changed else ""
        is_one = changes.num_new + changes.num_changed == 1
        which = "this one is" if is_one else "these are"
        sentences = [f"{new}{of_changed}: {which} processed now"]
    if changes.num_gone:
        more = ", ..." if changes.num_gone > len(changes.gone_examples) else ""
        names = f"{', '.join(changes.gone_examples)}{more}"
        is_one = changes.num_gone == 1
        gone = describe_count(
            changes.num_gone, "photo", "is no longer in the input", "are no longer in the input"
        )
        if changes.pruned:
            fate = "its row was taken out" if is_one else "their rows were taken out"
        else:
            fate = "its row stays" if is_one else "their rows stay"
            fate = f"{fate}; {remedy} takes {'it' if is_one else 'them'} out"
        sentences = [*sentences, f"{gone} ({names}): {fate}"]
    return "; ".join(sentences)
