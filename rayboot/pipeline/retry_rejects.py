"""Removal of rejects from a data set, so that the next run tries their photos again."""

import itertools
import json
import posixpath

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.manifest import remove_manifest
from rayboot.errors import REJECT_STAGES, RequestError
from rayboot.io.lease import hold_lease
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import exists, join_uri, list_files, read_bytes, remove, write_bytes
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.output_layout import CHECKPOINT, LEASE

__all__ = ["finish_removal", "remove_rejects"]

_INTENT = "_run/forgetting.json"
"""Record of a removal while it is under way."""


def remove_rejects(output: str, stage: str) -> int:
    """Removes the rejects of one stage from a data set, which is unfinished afterwards.

    An interrupted removal is completed by the next run on the same output.

    Args:
        output: URI of the data set.
        stage: Stage whose rejects are removed.

    Returns:
        Number of removed rejects.

    Raises:
        RequestError: There is no such stage.
        BusyError: Another run writes to the same output.
    """
    if stage not in REJECT_STAGES:
        raise RequestError(
            f"stage {stage}: expected one that can reject a photo: {', '.join(REJECT_STAGES)}"
        )
    with hold_lease(join_uri(output, LEASE)):
        finish_removal(output)
        ids_by_file = {
            name: _rejected_ids(output, name, stage)
            for name in finished_files(output, list_files(output, "outcome=reject"))
            if name.endswith(".parquet")
        }
        affected = {name: ids for name, ids in ids_by_file.items() if ids}
        ids = list(itertools.chain.from_iterable(affected.values()))
        if ids:
            intent = {"stage": stage, "files": sorted(affected), "ids": ids}
            write_bytes(join_uri(output, _INTENT), json.dumps(intent).encode())
            finish_removal(output)
        return len(ids)


def _rejected_ids(output: str, name: str, stage: str) -> list[str]:
    table = read_table(join_uri(output, name), ["face_id", "stage"])
    ids: list[str] = table.filter(pc.equal(table["stage"], stage))["face_id"].to_pylist()
    return ids


def finish_removal(output: str) -> None:
    """Completes a removal that was recorded; the caller holds the lease.

    Every step may be repeated: rows are identified by their ids, and what remains of a file gets
    a name of its own.
    """
    uri = join_uri(output, _INTENT)
    if not exists(uri):
        return
    intent = json.loads(read_bytes(uri))
    ids = pa.array(intent["ids"], pa.string())
    remove_manifest(output)
    for name in intent["files"]:
        folder, base = posixpath.split(name)
        _remove_rows(join_uri(output, name), ids, join_uri(output, folder, f"rest-{base}"))
    for name in list_files(output, CHECKPOINT):
        if name.endswith(".parquet"):
            _remove_rows(join_uri(output, name), ids, join_uri(output, name))
    remove(uri)


def _remove_rows(uri: str, ids: pa.Array, target: str) -> None:
    """Writes the rows with other ids to ``target``, which may be the file itself."""
    if not exists(uri):  # an interrupted removal came this far
        return
    table = read_table(uri)
    kept = table.filter(pc.invert(pc.is_in(table["face_id"], value_set=ids)))
    if len(kept) == len(table):
        return
    if len(kept):
        write_table(target, kept)
    if target != uri or not len(kept):
        remove(uri)
