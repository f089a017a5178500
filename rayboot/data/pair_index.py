"""A fixed order of the faces of a pairs data set, and the rows of a part of them.

File names are random, and a resumed run divides the faces differently; training must not depend
on either. So faces are ordered by their names, and each worker reads a contiguous shard of that
order. Since a run processes its photos in order too, a shard is spread over few files.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.manifest import require_finished
from rayboot.data.schema import target_column
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.io.parquet import read_table
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files

__all__ = ["index_faces", "read_faces", "select_shard"]

_NUM_CONCURRENT_FILES = 8
"""Number of files that are read concurrently."""

_BATCH_ROWS = 256
"""Number of rows that are converted from Arrow to Python at a time."""

_COLUMNS = ["face_id", "image", "target_kind", "shape", "views"]


def index_faces(uri: str, split: Split) -> pa.Table:
    """Locates the faces of one split.

    Returns:
        Columns ``face_id``, ``file`` (relative to ``uri``) and ``row``, sorted by ``face_id``.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: the data set contains no face.
    """
    require_finished(uri)
    files = list_files(uri, "outcome=face")
    if not files:
        raise RequestError(
            f"{uri}: every photo was rejected, so the data set contains no face; its reasons are "
            "in outcome=reject"
        )
    with ThreadPoolExecutor(_NUM_CONCURRENT_FILES) as pool:
        parts = list(pool.map(lambda name: retry_io(partial(_index_file, uri, name), uri), files))
    index = pa.concat_tables(parts)
    return index.filter(pc.equal(index["split"], split)).drop(["split"]).sort_by("face_id")


def _index_file(uri: str, name: str) -> pa.Table:
    faces = read_table(join_uri(uri, name), columns=["face_id", "split"])
    faces = faces.append_column("file", pa.array([name] * len(faces)))
    return faces.append_column("row", pa.array(range(len(faces)), pa.int64()))


def select_shard(index: pa.Table, rank: int, num_workers: int) -> pa.Table:
    """Returns the contiguous part of an index that one of several workers reads.

    Args:
        index: From :func:`index_faces`.
        rank: Number of the worker, from 0.
        num_workers: Number of workers; their shards differ in size by at most one face.
    """
    edges = np.linspace(0, len(index), num_workers + 1).round().astype(int)
    return index.slice(edges[rank], edges[rank + 1] - edges[rank])


def read_faces(uri: str, index: pa.Table, target_kind: str) -> Iterator[dict[str, Any]]:
    """Reads faces of a pairs data set, images still encoded, in the order of the index.

    Args:
        uri: URI of the data set.
        index: From :func:`index_faces`, or a part of it.
        target_kind: Kind of target to read. Every face has its ``occupancy`` and, since schema
            version 3, its ``surface_depth``; of other kinds, a data set contains the one that its
            network learns from.

    Yields:
        ``face_id``, ``image``, ``target``, ``shape``, ``views``.

    Raises:
        RequestError: the faces have no target of that kind.
        StoreError: the store stays unavailable.
    """
    rows_by_file: dict[str, list[int]] = {}
    for name, row in zip(index["file"].to_pylist(), index["row"].to_pylist(), strict=True):
        rows_by_file.setdefault(name, []).append(row)
    with ThreadPoolExecutor(_NUM_CONCURRENT_FILES) as pool:
        tables = pool.map(
            lambda item: retry_io(partial(_read_file, uri, target_kind, *item), uri),
            list(rows_by_file.items()),
        )
        faces = pa.concat_tables(list(tables))
    # The tables follow each other file by file; the index may alternate between files.
    order = pc.index_in(index["face_id"], faces["face_id"])
    for start in range(0, len(faces), _BATCH_ROWS):
        yield from faces.take(order.slice(start, _BATCH_ROWS)).to_pylist()


def _read_file(uri: str, target_kind: str, name: str, rows: list[int]) -> pa.Table:
    target = target_column(target_kind)
    # Columns that a file lacks, as older ones do, are left out here and reported below.
    table = read_table(join_uri(uri, name), columns=[*_COLUMNS, target]).take(rows)
    kinds = set(table["target_kind"].to_pylist())
    is_known = target in table.column_names and table[target].null_count == 0
    if not is_known or (target == "target" and kinds != {target_kind}):
        raise RequestError(
            f"{uri}: expected targets of kind {target_kind}, which the network learns from, but "
            f"the data set was made by a network that learns from {', '.join(sorted(kinds))}; "
            "generate the pairs again, with a network of that kind"
        )
    return table.drop(["target_kind"]).rename_columns({target: "target"})
