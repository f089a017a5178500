"""Parquet files at any URI, read and written as whole tables."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.io.storage import open_file, write_bytes

__all__ = ["count_rows", "count_rows_per_group", "read_some_rows", "read_table", "write_table"]


def read_table(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a Parquet file.

    Args:
        uri: URI of the file. Folder names such as ``outcome=face`` do not become columns.
        columns: Names of the columns to read; a nested column is named
            ``views.list.element.yaw_deg``. None reads all.
    """
    with open_file(uri) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        return parquet.read(columns=None if columns is None else list(columns))


def read_some_rows(uri: str, rows: Sequence[int], columns: Sequence[str]) -> pa.Table:
    """Reads some rows of a Parquet file; only the row groups that contain them are fetched.

    Args:
        uri: URI of the file.
        rows: numbers of the rows; at least one.
        columns: names of the columns, as in :func:`read_table`; those that the file lacks are
            left out.

    Returns:
        The rows, in the order of ``rows``.
    """
    with open_file(uri) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        sizes = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.searchsorted(ends, rows, side="right")
        wanted, places = np.unique(groups, return_inverse=True)
        table = parquet.read_row_groups(wanted.tolist(), columns=list(columns))
    # Where the first row of each fetched group is in the file, and in what was fetched.
    starts = (ends - sizes)[wanted]
    offsets = np.cumsum([0, *np.take(sizes, wanted)])[:-1]
    return table.take(np.asarray(rows) - starts[places] + offsets[places])


def count_rows(uri: str) -> int:
    """Number of rows of a Parquet file; only the footer of the file is read."""
    with open_file(uri) as file:
        return int(pq.read_metadata(file).num_rows)


def count_rows_per_group(uri: str) -> int:
    """Number of rows of the first row group of a Parquet file that is not empty."""
    with open_file(uri) as file:
        return int(pq.read_metadata(file).row_group(0).num_rows)


def write_table(uri: str, table: pa.Table, **options: Any) -> None:
    """Writes a Parquet file, completely or not at all.

    Args:
        uri: URI of the file.
        table: Content of the file.
        options: Options of :func:`pyarrow.parquet.write_table`.
    """
    with io.BytesIO() as buffer:
        pq.write_table(table, buffer, **options)
        payload = buffer.getvalue()
    write_bytes(uri, payload)
