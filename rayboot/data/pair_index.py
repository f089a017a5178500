"""The faces of a pairs data set in an order of their own, and the rows of some of them.

Files are named by chance and a resumed run cuts them differently; who trains must not
see that. So faces are put in order by their names, and each worker reads a stretch of
that order: since a run goes through its photos in order too, a stretch lies in few files.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.manifest import require_finished
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files, open_file

__all__ = ["index_faces", "read_faces", "share_of"]

_AT_ONCE = 8
"""Files that are read side by side."""

_COLUMNS = ["face_id", "image", "target_kind", "shape", "views"]


def index_faces(uri: str, split: Split) -> pa.Table:
    """Where the faces of one split lie: ``face_id``, ``file``, ``row``, by ``face_id``.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: it holds no face.
    """
    require_finished(uri)
    files = list_files(uri, "outcome=face")
    if not files:
        raise RequestError(f"{uri}: every photo was rejected, there is no face to read")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        parts = list(pool.map(lambda name: retry_io(partial(_index, uri, name), uri), files))
    index = pa.concat_tables(parts)
    return index.filter(pc.equal(index["split"], split)).drop(["split"]).sort_by("face_id")


def _index(uri: str, name: str) -> pa.Table:
    with open_file(join_uri(uri, name)) as file:
        ids = pq.ParquetFile(file, pre_buffer=True).read(columns=["face_id", "split"])
    place = {"file": pa.array([name] * len(ids)), "row": pa.array(range(len(ids)), pa.int64())}
    for column, values in place.items():
        ids = ids.append_column(column, values)
    return ids


def share_of(index: pa.Table, rank: int, num_workers: int) -> pa.Table:
    """The stretch of an index that one of several workers reads."""
    edges = np.linspace(0, len(index), num_workers + 1).round().astype(int)
    return index.slice(edges[rank], edges[rank + 1] - edges[rank])


def read_faces(uri: str, index: pa.Table, target_kind: str) -> Iterator[dict[str, Any]]:
    """Rows of a pairs data set, pictures as bytes, in the index's order.

    Args:
        uri: of the data set.
        index: of :func:`index_faces`, or a part of it.
        target_kind: wanted; every face has its ``occupancy``, others as the data set says.

    Yields:
        ``face_id``, ``image``, ``target``, ``shape``, ``views``.

    Raises:
        RequestError: the faces have no target of that kind.
        StoreError: the store is in trouble for long.
    """
    wanted: dict[str, list[int]] = {}
    for name, row in zip(index["file"].to_pylist(), index["row"].to_pylist(), strict=True):
        wanted.setdefault(name, []).append(row)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tables = pool.map(
            lambda item: retry_io(partial(_read, uri, target_kind, *item), uri),
            list(wanted.items()),
        )
        rows = pa.concat_tables(list(tables))
    # Files came one after the other; the index may go to and fro between them.
    order = pc.index_in(index["face_id"], rows["face_id"])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield from rows.take(order.slice(start, _ROWS_AT_ONCE)).to_pylist()


_ROWS_AT_ONCE = 256


def _read(uri: str, target_kind: str, name: str, rows: list[int]) -> pa.Table:
    payload = "occupancy" if target_kind == "occupancy" else "target"
    with open_file(join_uri(uri, name)) as file:
        parts = pq.ParquetFile(file, pre_buffer=True)
        known = payload in parts.schema_arrow.names
        table = parts.read(columns=[*_COLUMNS, payload] if known else _COLUMNS).take(rows)
    kinds = set(table["target_kind"].to_pylist())
    if payload != "occupancy" and kinds != {target_kind}:
        raise RequestError(
            f"{uri}: its targets are of kind {', '.join(sorted(kinds))}, the network learns from "
            f"kind {target_kind}; make the pairs with a network of the kind that learns from them"
        )
    return table.drop(["target_kind"]).rename_columns({payload: "target"})
