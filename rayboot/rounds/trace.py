"""In which data sets and models a photo was used, so that it can be taken out of them.

The registry knows of which data set each version was made, and from which teacher: whatever
learnt from a model that saw the photo is affected too.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayboot.data.manifest import read_manifest
from rayboot.io.retry import retry_io
from rayboot.io.storage import join_uri, list_files, open_file
from rayboot.registry.model_versions import ModelVersion, list_versions

__all__ = ["PhotoUse", "Trace", "format_trace", "trace_face"]


class PhotoUse(NamedTuple):
    """A photo in a data set.

    Attributes:
        data: URI of the data set.
        face_id: by which it is there.
        outcome: ``face`` or ``reject``: a reject taught no model anything, but its thumbnail
            is kept.
        file: that holds the row, below the data set.
        source_uri: where the photo came from.
        run_id: in the log lines of the run that made the data set; empty where it is unfinished.
    """

    data: str
    face_id: str
    outcome: str
    file: str
    source_uri: str
    run_id: str = ""


class Trace(NamedTuple):
    """Where a photo was used.

    Attributes:
        uses: in data sets.
        trained: versions that were trained on it.
        descended: versions whose teachers, or theirs, were trained on it.
        missing: data sets of versions that cannot be read.
    """

    uses: list[PhotoUse]
    trained: list[ModelVersion]
    descended: list[ModelVersion]
    missing: list[str]


def trace_face(tracking_uri: str, face_id: str, data: Sequence[str] = ()) -> Trace:
    """Looks for a photo in the data sets of all registered versions, and in others.

    The same bytes under another name are found too.

    Args:
        tracking_uri: of the registry.
        face_id: as a data set names the photo.
        data: URIs of further data sets, of which no version is registered.
    """
    versions = list_versions(tracking_uri)
    uris = dict.fromkeys([v.tags["rayboot.pairs"] for v in versions if "rayboot.pairs" in v.tags])
    uris.update(dict.fromkeys(data))
    rows, missing = {}, []
    for uri in uris:
        names = [name for name in list_files(uri) if name.startswith("outcome=")]
        if names:
            rows[uri] = [retry_io(partial(_read, uri, name), uri) for name in names]
        else:
            missing.append(uri)
    hashes = {
        row["content_hash"]
        for parts in rows.values()
        for part in parts
        for row in part.filter(pc.equal(part["face_id"], face_id)).to_pylist()
        if row["content_hash"]
    }
    uses = [use for uri, parts in rows.items() for part in parts for use in _uses(
        uri, part, face_id, hashes)]  # fmt: skip
    runs = {uri: _run_of(uri) for uri in {use.data for use in uses}}
    uses = [use._replace(run_id=runs[use.data]) for use in uses]
    touched = {use.data for use in uses if use.outcome == "face"}
    trained = [v for v in versions if v.tags.get("rayboot.pairs") in touched]
    return Trace(uses, trained, _descendants(versions, trained), missing)


def _read(uri: str, name: str) -> pa.Table:
    with open_file(join_uri(uri, name)) as file:
        parts = pq.ParquetFile(file, pre_buffer=True)
        wanted = ["face_id", "content_hash", "source_uri"]
        known = [column for column in wanted if column in parts.schema_arrow.names]
        table = parts.read(columns=known)
    for column in wanted:
        if column not in known:
            table = table.append_column(column, pa.nulls(len(table), pa.string()))
    return table.append_column("file", pa.array([name] * len(table), pa.string()))


def _run_of(uri: str) -> str:
    manifest = retry_io(partial(read_manifest, uri), uri)
    return "" if manifest is None else manifest.run_id


def _uses(uri: str, part: pa.Table, face_id: str, hashes: set[str]) -> list[PhotoUse]:
    hit = pc.equal(part["face_id"], face_id)
    if hashes:
        same = pc.is_in(part["content_hash"], value_set=pa.array(sorted(hashes), pa.string()))
        hit = pc.or_(hit, same)
    return [
        PhotoUse(
            uri,
            row["face_id"],
            row["file"].partition("/")[0].removeprefix("outcome="),
            row["file"],
            row["source_uri"] or "",
        )
        for row in part.filter(hit).to_pylist()
    ]


def _descendants(
    versions: Sequence[ModelVersion], trained: Sequence[ModelVersion]
) -> list[ModelVersion]:
    """Versions whose teacher, or a teacher of it, is one of ``trained``."""
    affected = {_identity(version) for version in trained}
    found: list[ModelVersion] = []
    grown = True
    while grown:
        grown = False
        for version in versions:
            if version in trained or version in found:
                continue
            if version.tags.get("rayboot.teacher_digest") in affected:
                found.append(version)
                affected.add(_identity(version))
                grown = True
    return found


def _identity(version: ModelVersion) -> str:
    return version.tags.get("rayboot.weights_digest", version.uri)


def format_trace(face_id: str, trace: Trace) -> str:
    """For a person, some lines."""
    lines = [
        f"data set  {use.data}  {use.outcome} {use.face_id} in {use.file}"
        + (f", run {use.run_id}" if use.run_id else "")
        for use in trace.uses
    ]
    lines += [f"trained   {_named(version)}" for version in trace.trained]
    lines += [f"descended {_named(version)}" for version in trace.descended]
    lines += [f"unknown   {uri}: cannot be read, so it was not searched" for uri in trace.missing]
    if not trace.uses:
        lines.insert(0, f"{face_id}: in none of the data sets that were searched")
    return "\n".join(lines)


def _named(version: ModelVersion) -> str:
    return version.uri + "".join(f", {alias}" for alias in version.aliases)
