"""Forgetting rejects, so that the next run of the same command tries those photos again."""

import io
import json
import posixpath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.manifest import remove_manifest
from rayboot.io.lease import hold_lease
from rayboot.io.storage import (
    exists,
    join_uri,
    list_files,
    open_file,
    read_bytes,
    remove,
    write_bytes,
)
from rayboot.pipeline.checkpoint import finished_files
from rayboot.pipeline.generate_request import CHECKPOINT, LOCK

__all__ = ["finish_removal", "remove_rejects"]

_INTENT = "_run/forgetting.json"


def remove_rejects(output: str, stage: str) -> int:
    """Removes the rejects of one stage from a data set, which is unfinished then.

    Cut off anywhere, it is finished by the next run on the same output.

    Args:
        output: URI of the data set.
        stage: whose rejects are to be tried again.

    Returns:
        How many photos that are.

    Raises:
        BusyError: a run writes to the same output.
    """
    with hold_lease(join_uri(output, LOCK)):
        finish_removal(output)
        files = {
            name: _ids_of(output, name, stage)
            for name in finished_files(output, list_files(output, "outcome=reject"), CHECKPOINT)
            if name.endswith(".parquet")
        }
        found = {name: ids for name, ids in files.items() if ids}
        count = sum(map(len, found.values()))
        if count:
            intent = {"stage": stage, "files": sorted(found), "ids": sum(found.values(), [])}
            write_bytes(join_uri(output, _INTENT), json.dumps(intent).encode())
            finish_removal(output)
        return count


def _ids_of(output: str, name: str, stage: str) -> list[str]:
    with open_file(join_uri(output, name)) as file:
        table = pq.ParquetFile(file, pre_buffer=True).read(columns=["face_id", "stage"])
    return table.filter(pc.equal(table["stage"], stage))["face_id"].to_pylist()


def finish_removal(output: str) -> None:
    """Does what a former call meant to do; whoever calls holds the lock.

    Every step may be done twice: rows are told by their ids, and a file's remainder has
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
        _drop(join_uri(output, name), ids, join_uri(output, folder, f"rest-{base}"))
    for name in list_files(output, CHECKPOINT):
        if name.endswith(".parquet"):
            _drop(join_uri(output, name), ids, join_uri(output, name))
    remove(uri)


def _drop(uri: str, ids: pa.Array, target: str) -> None:
    """Writes the rows of other ids to ``target``, which may be the file itself."""
    if not exists(uri):  # a former call came as far as here
        return
    with open_file(uri) as file:
        table = pq.ParquetFile(file, pre_buffer=True).read()
    kept = table.filter(pc.invert(pc.is_in(table["face_id"], value_set=ids)))
    if len(kept) == len(table):
        return
    if len(kept):
        buffer = io.BytesIO()
        pq.write_table(kept, buffer)
        write_bytes(target, buffer.getvalue())
    if target != uri or not len(kept):
        remove(uri)
