"""Finding the data sets and models that used a photo, so that it can be removed from them.

The registry records from which manifest of which data set each version was trained, and by which
teacher: a version whose teacher was trained on the photo is affected too. Photos that were taken
out of a data set are found in its record of them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.manifest import (
    MANIFEST_FOLDER,
    list_manifests,
    manifest_files,
    read_manifest,
)
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files, open_file
from rayboot.pipeline.generate_summary import list_row_files
from rayboot.pipeline.output_change import REMOVED_PREFIX, parse_row_file
from rayboot.registry.model_versions import ModelVersion, list_versions
from rayboot.registry.runs import has_store

__all__ = ["PhotoUse", "Trace", "format_trace", "trace_face"]

_COLUMNS = ("face_id", "content_hash", "source_uri")


class PhotoUse(NamedTuple):
    """One occurrence of a photo in a data set.

    Attributes:
        data: URI of the data set.
        face_id: id of the photo in that data set.
        outcome: ``face`` or ``reject``: no model was trained on a reject, but its thumbnail
            is stored.
        file: path of the file with the row, relative to the data set.
        source_uri: URI that the photo was read from.
        run_id: id of the run that made the data set; empty where the data set is unfinished.
        is_removed: whether the row was taken out of the data set; ``file`` held it before.
    """

    data: str
    face_id: str
    outcome: str
    file: str
    source_uri: str
    run_id: str = ""
    is_removed: bool = False


class Trace(NamedTuple):
    """Data sets and models that used a photo.

    Attributes:
        uses: occurrences in data sets.
        trained: versions that were trained on the photo.
        descended: versions that have one of ``trained`` among their teachers' ancestors.
        missing: data sets of versions that cannot be read.
    """

    uses: list[PhotoUse]
    trained: list[ModelVersion]
    descended: list[ModelVersion]
    missing: list[str]


def trace_face(tracking_uri: str, face_id: str, data: Sequence[str] = ()) -> Trace:
    """Searches a photo in the data sets of all registered versions, and in others.

    Copies of the photo with the same bytes under another name are found too.

    Args:
        tracking_uri: URI of the registry.
        face_id: id of the photo in some data set.
        data: URIs of further data sets, which no registered version was trained on.

    Raises:
        RequestError: there is no registry, and no further data set is given.
    """
    # Without a registry no version was registered, but data sets can be searched.
    versions = list_versions(tracking_uri) if has_store(tracking_uri) or not data else []
    uris = dict.fromkeys([v.tags["rayboot.pairs"] for v in versions if "rayboot.pairs" in v.tags])
    uris.update(dict.fromkeys(data))
    tables, missing = {}, []
    for uri in uris:
        names = list_row_files(uri)
        if names:
            names += [name for name in list_files(uri, MANIFEST_FOLDER) if _is_record(name)]
            tables[uri] = [retry_io(partial(_read_ids, uri, name), uri) for name in names]
        else:
            missing.append(uri)
    hashes = {
        row["content_hash"]
        for parts in tables.values()
        for part in parts
        for row in part.filter(pc.equal(part["face_id"], face_id)).to_pylist()
        if row["content_hash"]
    }
    uses = [
        use
        for uri, parts in tables.items()
        for part in parts
        for use in _find_uses(uri, part, face_id, hashes)
    ]
    run_ids = {uri: _read_run_id(uri) for uri in {use.data for use in uses}}
    uses = [use._replace(run_id=run_ids[use.data]) for use in uses]
    trained = _find_trained(versions, [use for use in uses if use.outcome == "face"])
    return Trace(uses, trained, _find_descendants(versions, trained), missing)


def _read_ids(uri: str, name: str) -> pa.Table:
    """Returns ids and hashes of one file's rows; a column that the file lacks is null."""
    with open_file(join_uri(uri, name)) as file:
        parts = pq.ParquetFile(file, pre_buffer=True)
        wanted = (*_COLUMNS, "file") if _is_record(name) else _COLUMNS
        present = [column for column in wanted if column in parts.schema_arrow.names]
        table = parts.read(columns=present)
    if _is_record(name):
        table = table.append_column("is_removed", pa.repeat(True, len(table)))
    for column in _COLUMNS:
        if column not in present:
            table = table.append_column(column, pa.nulls(len(table), pa.string()))
    if _is_record(name):
        return table
    files = pa.array([name] * len(table), pa.string())
    return table.append_column("file", files).append_column(
        "is_removed", pa.repeat(False, len(table))
    )


def _is_record(name: str) -> bool:
    """Whether a file records rows that were taken out."""
    return name.startswith(f"{MANIFEST_FOLDER}/{REMOVED_PREFIX}")


def _find_trained(versions: Sequence[ModelVersion], uses: Sequence[PhotoUse]) -> list[ModelVersion]:
    """Returns the versions that were trained on a manifest with one of the rows."""
    uses_by_data: dict[str, list[PhotoUse]] = {}
    for use in uses:
        uses_by_data.setdefault(use.data, []).append(use)
    files = {uri: _read_manifest_files(uri) for uri in uses_by_data}
    trained = []
    for version in versions:
        uri = version.tags.get("rayboot.pairs", "")
        described = files.get(uri, {}).get(version.tags.get("rayboot.manifest_digest", ""))
        # Where the manifest is not known, every row may have been in it.
        if uri in uses_by_data and (
            described is None or any(_had_row(described, use.file) for use in uses_by_data[uri])
        ):
            trained.append(version)
    return trained


def _had_row(files: Mapping[str, int], file: str) -> bool:
    """Whether the files of a manifest had a row that was last in ``file``.

    A file from which rows are taken out gets another name: the row was in it under all former ones.
    """
    name, count = parse_row_file(file)
    return name in files and files[name] <= count


def _read_manifest_files(uri: str) -> dict[str, dict[str, int]]:
    """Returns the files of faces that each manifest of a data set describes, by its digest."""
    return {
        manifest.digest(): dict(map(parse_row_file, manifest_files(uri, manifest)))
        for manifest in retry_io(partial(list_manifests, uri), uri)
    }


def _read_run_id(uri: str) -> str:
    manifest = retry_io(partial(read_manifest, uri), uri)
    return "" if manifest is None else manifest.run_id


def _find_uses(uri: str, part: pa.Table, face_id: str, hashes: set[str]) -> list[PhotoUse]:
    matches = pc.equal(part["face_id"], face_id)
    if hashes:
        same = pc.is_in(part["content_hash"], value_set=pa.array(sorted(hashes), pa.string()))
        matches = pc.or_(matches, same)
    return [
        PhotoUse(
            uri,
            row["face_id"],
            row["file"].partition("/")[0].removeprefix("outcome="),
            row["file"],
            row["source_uri"] or "",
            is_removed=row["is_removed"],
        )
        for row in part.filter(matches).to_pylist()
    ]


def _find_descendants(
    versions: Sequence[ModelVersion], trained: Sequence[ModelVersion]
) -> list[ModelVersion]:
    """Returns versions whose teacher, or a teacher's teacher, is one of ``trained``."""
    affected = {_identity(version) for version in trained}
    descendants: list[ModelVersion] = []
    changed = True
    while changed:
        changed = False
        for version in versions:
            if version in trained or version in descendants:
                continue
            if version.tags.get("rayboot.teacher_digest") in affected:
                descendants.append(version)
                affected.add(_identity(version))
                changed = True
    return descendants


def _identity(version: ModelVersion) -> str:
    return version.tags.get("rayboot.weights_digest", version.uri)


def format_trace(face_id: str, trace: Trace) -> str:
    """Returns a readable description of a trace, one data set or version per line."""
    lines = [
        f"data set  {use.data}  {use.outcome} {use.face_id} in {use.file}"
        + (", taken out since" if use.is_removed else "")
        + (f", run {use.run_id}" if use.run_id else "")
        for use in trace.uses
    ]
    lines += [f"trained   {_format_version(version)}" for version in trace.trained]
    lines += [f"descended {_format_version(version)}" for version in trace.descended]
    lines += [f"unknown   {uri}: cannot be read, so it was not searched" for uri in trace.missing]
    if not trace.uses:
        lines.insert(0, f"{face_id}: in none of the data sets that were searched")
    return "\n".join(lines)


def _format_version(version: ModelVersion) -> str:
    return version.uri + "".join(f", {alias}" for alias in version.aliases)
