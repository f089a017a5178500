"""A run's listing follows its input: the same command on a grown input processes what is new."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from rayboot.io.lease import hold_lease
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import join_uri
from rayboot.pipeline.input_changes import ListingUpdate, compare_listings
from rayboot.pipeline.output_change import (
    NEXT_SUFFIX,
    OutputChange,
    finish_change,
    is_pending,
    make_change,
)
from rayboot.pipeline.output_layout import LEASE, LISTING, LISTING_OPTIONS, TEST_PHOTOS

__all__ = ["OutputFiles", "complete_pending_change", "follow_input"]


class OutputFiles(NamedTuple):
    """The files of an output that a change of its listing concerns.

    Attributes:
        rows: Folders of the rows, relative to the output.
        finished: Files that mark it as finished.
        keeps_record: Whether the ids of rows that are taken out stay recorded.
        leftovers: Returns further files of the photos that were taken out, given their ids and the
            listing before; they are removed.
    """

    rows: Sequence[str]
    finished: Sequence[str]
    keeps_record: bool = False
    leftovers: Callable[[str, Sequence[str], pa.Table], list[str]] = lambda *_: []


def complete_pending_change(output: str) -> None:
    """Completes a change of the output that an earlier command could not.

    Raises:
        BusyError: Another run writes to the output.
    """
    if is_pending(output):
        with hold_lease(join_uri(output, LEASE)):
            finish_change(output)


def follow_input(
    output: str,
    files: OutputFiles,
    present: pa.Table,
    taking_part: pa.Table,
    record: Callable[[ListingUpdate], dict[str, Any]],
    *,
    prune: bool = False,
    tested: pa.Table | None = None,
    complete: Callable[[pa.Table], pa.Table] = lambda listing: listing,
) -> tuple[ListingUpdate, dict[str, Any] | None]:
    """Adds what is new to the listing of an output, and takes rows out that are no longer right.

    An output whose input has not grown is not touched.

    Args:
        output: URI of the output.
        files: Its files.
        present: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, every photo of the input that
            may take part.
        taking_part: Those that a new run would list.
        record: Returns the record of the request, given the update.
        prune: Whether the rows of photos that are no longer in the input are taken out.
        tested: Photos that are kept for testing; None where that does not matter.
        complete: Adds further columns to the listing.

    Returns:
        The update, and the record that was written; None where nothing was.

    Raises:
        BusyError: Another run writes to the output.
    """
    stored = read_table(join_uri(output, LISTING))
    update = compare_listings(stored, present, taking_part, prune)
    if not update.num_to_do and not update.taken_out:
        return update, None
    written = record(update)
    with hold_lease(join_uri(output, LEASE)):
        listings = {LISTING: complete(update.listing)}
        if tested is not None:
            listings[TEST_PHOTOS] = tested
        for name, table in listings.items():
            write_table(join_uri(output, f"{name}{NEXT_SUFFIX}"), table, **LISTING_OPTIONS)
        make_change(
            output,
            OutputChange(
                ids=update.taken_out,
                rows=list(files.rows),
                finished=list(files.finished),
                leftovers=files.leftovers(output, update.taken_out, stored),
                keeps_record=files.keeps_record,
                listings=list(listings),
                fingerprint=written,
            ),
        )
    return update, written
