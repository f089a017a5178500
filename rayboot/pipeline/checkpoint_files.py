"""Files of Ray Data's checkpoint: which rows are written completely.

Before a file of rows is written, a note with its stem and the ending ``.pending.parquet`` lists
the ids; after it, the note loses that ending. What an interrupted run left pending, on a local
disk perhaps half a file, does not count.

Object stores cannot rename: there the note is copied and the one with the ending removed. A run
that is killed between the two leaves both, and the file of rows is complete.
"""

import itertools
import posixpath
from collections.abc import Iterable

import pyarrow as pa

from rayboot.io.parquet import read_table
from rayboot.io.storage import join_uri, list_files, remove
from rayboot.pipeline.output_layout import CHECKPOINT

__all__ = ["PENDING_SUFFIX", "finished_files", "finished_ids", "remove_unfinished"]

PENDING_SUFFIX = ".pending.parquet"
_SUFFIX = ".parquet"


def finished_files(output: str, names: Iterable[str]) -> list[str]:
    """The files of rows that are written completely.

    Args:
        output: URI of the output.
        names: Files of rows below it.
    """
    pending, finished = _read_notes(output)
    unfinished = tuple(pending - finished)
    return [name for name in names if not posixpath.basename(name).startswith(unfinished)]


def finished_ids(output: str) -> pa.Array:
    """``face_id`` of the photos whose row is written; pending notes do not count."""
    names = [
        name
        for name in list_files(output, CHECKPOINT)
        if name.endswith(".parquet") and not name.endswith(PENDING_SUFFIX)
    ]
    parts = [read_table(join_uri(output, name), ["face_id"])["face_id"] for name in names]
    ids = itertools.chain.from_iterable(part.to_pylist() for part in parts)
    return pa.array(ids, pa.string())


def remove_unfinished(output: str, rows_below: str) -> None:
    """Removes the files of rows that an interrupted run left pending, and their notes.

    Args:
        output: URI of the output.
        rows_below: Folder of the rows below it.
    """
    pending, finished = _read_notes(output)
    unfinished = tuple(pending - finished)
    if unfinished:
        for name in list_files(output, rows_below):
            if not name.startswith(CHECKPOINT) and posixpath.basename(name).startswith(unfinished):
                remove(join_uri(output, name))
    for stem in sorted(pending):
        remove(join_uri(output, CHECKPOINT, f"{stem}{PENDING_SUFFIX}"))


def _read_notes(output: str) -> tuple[set[str], set[str]]:
    """Returns the stems that have a pending note, and those that have a finished one."""
    names = [posixpath.basename(name) for name in list_files(output, CHECKPOINT)]
    pending = {name.removesuffix(PENDING_SUFFIX) for name in names if name.endswith(PENDING_SUFFIX)}
    finished = {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}
    return pending, finished
