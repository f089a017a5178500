"""A fixed order of the rows of a table in many files, and the rows of a part of it.

File names are random, and a resumed run divides the rows differently; training must not depend on
either. So rows are ordered by their faces' names, and each worker reads a contiguous shard of that
order. Since a run processes its photos in order too, a shard is spread over few files.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.io.parquet import read_table
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri

__all__ = ["index_rows", "read_rows", "select_shard"]

_NUM_CONCURRENT_FILES = 8
"""Number of files whose rows are read concurrently."""

_NUM_CONCURRENT_INDEXED = 32
"""Number of files that are indexed concurrently: the latency of a store is far longer than the
transfer of a few columns."""

_BATCH_ROWS = 256
"""Number of rows that are converted from Arrow to Python at a time."""


def index_rows(uri: str, files: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Locates the rows of Parquet files that have a column ``face_id``.

    Args:
        uri: URI of the data set.
        files: paths of the files, relative to ``uri``; at least one.
        columns: columns to read, ``face_id`` among them.

    Returns:
        The columns, ``file`` (relative to ``uri``) and ``row``, sorted by ``face_id``.

    Raises:
        StoreError: the store stays unavailable.
    """
    with ThreadPoolExecutor(_NUM_CONCURRENT_INDEXED) as pool:
        parts = pool.map(
            lambda name: retry_io(partial(_index_file, uri, name, columns), uri), files
        )
        return pa.concat_tables(list(parts)).sort_by("face_id")


def _index_file(uri: str, name: str, columns: Sequence[str]) -> pa.Table:
    rows = read_table(join_uri(uri, name), columns)
    rows = rows.append_column("file", pa.array([name] * len(rows)))
    return rows.append_column("row", pa.array(range(len(rows)), pa.int64()))


def select_shard(index: pa.Table, rank: int, num_workers: int) -> pa.Table:
    """Returns the contiguous part of an index that one of several workers reads.

    Args:
        index: from :func:`index_rows`, or a part of it.
        rank: number of the worker, from 0.
        num_workers: number of workers; their shards differ in size by at most one face.
    """
    edges = np.linspace(0, len(index), num_workers + 1).round().astype(int)
    return index.slice(edges[rank], edges[rank + 1] - edges[rank])


def read_rows(
    index: pa.Table, uri: str, read_file: Callable[[str, list[int]], pa.Table]
) -> Iterator[dict[str, Any]]:
    """Reads the rows of an index, in its order.

    Args:
        index: from :func:`index_rows`, or a part of it; not empty.
        uri: URI of the data set.
        read_file: function from a file's path, relative to ``uri``, and the numbers of rows to
            these rows, ``face_id`` among their columns.

    Raises:
        StoreError: the store stays unavailable.
    """
    rows_by_file: dict[str, list[int]] = {}
    for name, row in zip(index["file"].to_pylist(), index["row"].to_pylist(), strict=True):
        rows_by_file.setdefault(name, []).append(row)
    with ThreadPoolExecutor(_NUM_CONCURRENT_FILES) as pool:
        tables = pool.map(
            lambda item: retry_io(partial(read_file, *item), uri), list(rows_by_file.items())
        )
        rows = pa.concat_tables(list(tables))
    # The tables follow each other file by file; the index may alternate between files.
    order = pc.index_in(index["face_id"], rows["face_id"])
    for start in range(0, len(rows), _BATCH_ROWS):
        yield from rows.take(order.slice(start, _BATCH_ROWS)).to_pylist()
