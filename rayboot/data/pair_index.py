"""The faces of a pairs data set in a fixed order, and the rows of a part of them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.manifest import manifest_files, require_finished
from rayboot.data.row_index import index_rows, read_rows
from rayboot.data.schema import target_column
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.io.parquet import read_table
from rayboot.io.storage import join_uri, list_files

__all__ = ["face_files", "index_faces", "read_faces"]

_COLUMNS = ["face_id", "image", "target_kind", "shape", "views"]


def face_files(uri: str, manifest: str | None = None) -> list[str]:
    """Returns the files of faces that a manifest describes, relative to ``uri``, sorted.

    Args:
        uri: URI of the data set.
        manifest: Digest of the manifest; None is the current one.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: the manifest describes no face, or faces that were taken out since; or there
            is no such manifest.
    """
    described = require_finished(uri, manifest)
    files = manifest_files(uri, described)
    if not files:
        raise RequestError(
            f"{uri}: every photo was rejected, so the data set contains no face; its reasons are "
            "in outcome=reject"
        )
    gone = set(files).difference(list_files(uri, "outcome=face"))
    if gone:
        raise RequestError(
            f"{uri}: expected the faces of manifest {described.number or ''} "
            f"({described.digest()[:12]}), but {len(gone)} of its {len(files)} files were replaced "
            "when photos were changed or taken out; use the current manifest"
        )
    return files


def index_faces(uri: str, split: Split, manifest: str | None = None) -> pa.Table:
    """Locates the faces of one split.

    Args:
        uri: URI of the data set.
        split: The split.
        manifest: Digest of the manifest whose faces are meant; None is the current one.

    Returns:
        Columns ``face_id``, ``file`` (relative to ``uri``) and ``row``, sorted by ``face_id``.

    Raises:
        UnfinishedDataError: the data set has no ``manifest.json``.
        RequestError: the data set contains no face, or not those of the manifest.
    """
    index = index_rows(uri, face_files(uri, manifest), ["face_id", "split"])
    return index.filter(pc.equal(index["split"], split)).drop(["split"])


def read_faces(uri: str, index: pa.Table, target_kind: str) -> Iterator[dict[str, Any]]:
    """Reads faces of a pairs data set, images still encoded, in the order of the index.

    Args:
        uri: URI of the data set.
        index: From :func:`index_faces`, or a part of it.
        target_kind: Kind of target to read. Every face has its ``occupancy`` and, since schema
            version 3, its ``surface_depth``; of other kinds, a data set contains the one that its
            network learns from.

    Returns:
        Rows of ``face_id``, ``image``, ``target``, ``shape``, ``views``.

    Raises:
        RequestError: the faces have no target of that kind.
        StoreError: the store stays unavailable.
    """
    return read_rows(index, uri, partial(_read_file, uri, target_kind))


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
