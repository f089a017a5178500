"""Changes of an output that has rows already: rows are taken out, and the listing is replaced.

A change is recorded before its first step, and every step may be repeated: an interrupted change is
completed by the next command on the output. What is taken out of a pairs data set is named in
``manifests/removed-*.parquet``, without its images, so that it can still be told which models were
trained on it.
"""

import itertools
import json
import posixpath
import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.manifest import MANIFEST_FOLDER, number_manifest
from rayboot.io.parquet import count_rows_per_group, read_table, write_table
from rayboot.io.storage import exists, join_uri, list_files, read_bytes, remove, write_bytes
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.output_layout import CHECKPOINT, FINGERPRINT

__all__ = [
    "NEXT_SUFFIX",
    "REMOVED_PREFIX",
    "OutputChange",
    "finish_change",
    "is_pending",
    "make_change",
    "parse_row_file",
]

_RECORD = "_run/change.json"
"""Record of a change while it is under way."""

NEXT_SUFFIX = ".next"
"""What the names of listings end in that replace those of a run when its change is made."""

REMOVED_PREFIX = "removed-"
"""What the names of the records of rows that were taken out begin with."""

_REMOVED_COLUMNS = ("face_id", "content_hash", "source_uri")
_REST = re.compile(r"rest(\d*)-")


@dataclass(frozen=True)
class OutputChange:
    """What is changed at an output.

    Attributes:
        ids: ``face_id`` of the photos whose rows are taken out.
        rows: Folders of the rows, relative to the output; an empty name is the output itself,
            without its folders.
        finished: Files that mark the output as finished, and are removed if rows are taken out.
        leftovers: Further files that are removed, meshes for example.
        keeps_record: Whether the ids that are taken out stay recorded.
        listings: Listings that are replaced by those whose names end in :data:`NEXT_SUFFIX`.
        fingerprint: Content of the record of the request afterwards; None keeps it.
        token: Name of the change, unique.
    """

    ids: Sequence[str]
    rows: Sequence[str]
    finished: Sequence[str]
    leftovers: Sequence[str] = ()
    keeps_record: bool = False
    listings: Sequence[str] = ()
    fingerprint: dict[str, Any] | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:16])


def make_change(output: str, change: OutputChange) -> None:
    """Makes a change; the caller holds the lease.

    Listings that replace those of the run are written before, see :data:`NEXT_SUFFIX`.
    """
    write_bytes(join_uri(output, _RECORD), json.dumps(asdict(change)).encode())
    finish_change(output)


def is_pending(output: str) -> bool:
    """Whether a change was interrupted."""
    return exists(join_uri(output, _RECORD))


def finish_change(output: str) -> None:
    """Completes a change that was recorded, if there is one; the caller holds the lease."""
    uri = join_uri(output, _RECORD)
    if not exists(uri):
        return
    change = OutputChange(**json.loads(read_bytes(uri)))
    if change.keeps_record:
        number_manifest(output)
    if change.ids:
        _take_out(output, change)
    for name in change.leftovers:
        remove(join_uri(output, name))
    for name in change.listings:
        replacement = join_uri(output, f"{name}{NEXT_SUFFIX}")
        if exists(replacement):
            write_bytes(join_uri(output, name), read_bytes(replacement))
            remove(replacement)
    if change.fingerprint is not None:
        payload = json.dumps(change.fingerprint, indent=1).encode()
        write_bytes(join_uri(output, FINGERPRINT), payload)
    remove(uri)


def _take_out(output: str, change: OutputChange) -> None:
    ids = pa.array(change.ids, pa.string())
    affected = [
        name
        for folder in change.rows
        for name in finished_files(output, _row_files(output, folder))
        if name.endswith(".parquet") and len(_rows_of(join_uri(output, name), ids))
    ]
    if change.keeps_record:
        _record_removed(output, change.token, affected, ids)
    for name in change.finished:
        remove(join_uri(output, name))
    for name in affected:
        _remove_rows(join_uri(output, name), ids, join_uri(output, _name_of_rest(name)))
    for name in list_files(output, CHECKPOINT):
        if name.endswith(".parquet"):
            _remove_rows(join_uri(output, name), ids, join_uri(output, name))


def _row_files(output: str, folder: str) -> list[str]:
    names = list_files(output, folder)
    return names if folder else [name for name in names if "/" not in name]


def _rows_of(uri: str, ids: pa.Array) -> pa.Table:
    table = read_table(uri, ["face_id"])
    return table.filter(pc.is_in(table["face_id"], value_set=ids))


def _name_of_rest(name: str) -> str:
    """Returns the name for the rows that stay of a file: ``rest-``, later ``rest2-`` and so on."""
    original, count = parse_row_file(name)
    folder, base = posixpath.split(original)
    return posixpath.join(folder, f"rest{count + 1 if count else ''}-{base}")


def parse_row_file(name: str) -> tuple[str, int]:
    """Returns the first name of a file of rows, and how often rows were taken out of it since."""
    folder, base = posixpath.split(name)
    found = _REST.match(base)
    if found is None:
        return name, 0
    return posixpath.join(folder, base[found.end() :]), int(found[1] or 1)


def _record_removed(output: str, token: str, names: Sequence[str], ids: pa.Array) -> None:
    """Records ids and hashes of the rows that are taken out, with the files that held them."""
    uri = join_uri(output, MANIFEST_FOLDER, f"{REMOVED_PREFIX}{token}.parquet")
    if exists(uri):  # written before the first row was taken out
        return
    rows = list(itertools.chain.from_iterable(_removed_rows(output, name, ids) for name in names))
    schema = pa.schema([(name, pa.string()) for name in (*_REMOVED_COLUMNS, "file")])
    if rows:
        write_table(uri, pa.Table.from_pylist(rows, schema=schema))


def _removed_rows(output: str, name: str, ids: pa.Array) -> list[dict[str, Any]]:
    table = read_table(join_uri(output, name), list(_REMOVED_COLUMNS))
    rows = table.filter(pc.is_in(table["face_id"], value_set=ids)).to_pylist()
    return [{**row, "file": name} for row in rows]


def _remove_rows(uri: str, ids: pa.Array, target: str) -> None:
    """Writes the rows with other ids to ``target``, which may be the file itself."""
    if not exists(uri):  # an interrupted change came this far
        return
    table = read_table(uri)
    kept = table.filter(pc.invert(pc.is_in(table["face_id"], value_set=ids)))
    if len(kept) == len(table):
        return
    if len(kept):
        write_table(target, kept, row_group_size=count_rows_per_group(uri))
    if target != uri or not len(kept):
        remove(uri)
