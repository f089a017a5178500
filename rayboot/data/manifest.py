"""Manifests of a pairs data set: numbered and immutable; the current one marks it as finished.

``manifests/000001.json`` and so on are the manifests, each beside a table of the files of rows that
it describes. ``manifest.json`` is a copy of the current one and is written last. A data set that
grows gets another manifest; what pinned an earlier one by its digest keeps reading the same files.
Manifests of version 0.1 have no number and no table: they describe every file of the data set.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rayboot.config import FrozenConfig, parse_config
from rayboot.data.schema import SCHEMA_VERSION
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import exists, join_uri, list_files, read_bytes, remove, write_bytes

__all__ = [
    "MANIFEST",
    "MANIFEST_FOLDER",
    "Manifest",
    "list_manifests",
    "manifest_files",
    "number_manifest",
    "read_manifest",
    "remove_manifest",
    "require_finished",
    "write_manifest",
]

MANIFEST = "manifest.json"
"""Name of the copy of the current manifest."""

MANIFEST_FOLDER = "manifests"
"""Folder of the numbered manifests and of their tables of files."""

_UNNUMBERED_FILES = f"{MANIFEST_FOLDER}/000000.parquet"
"""Table of the files of a manifest without a number, written before the data set grew."""

_OF_FILES = ("number", "files", "files_digest")


class Manifest(FrozenConfig):
    """Description of a finished data set and of the run that wrote it."""

    schema_version: int = SCHEMA_VERSION
    """Version of the columns, see :mod:`rayboot.data.schema`."""
    config: dict[str, Any]
    """Config of the run."""
    config_digest: str
    """Digest of ``config``."""
    model_digest: str
    """SHA-256 of the weights file."""
    code_version: str
    """Version of rayboot that the run used."""
    counts: dict[str, int]
    """Numbers of faces, views, views left out and rejects, of each ``reject/STAGE/REASON``, and of
    photos whose landmark files were not used, by ``unused_landmarks/REASON``."""
    run_id: str = ""
    """Identifier of the run in its log lines; in a round, that of the round's MLflow run."""
    finished_at: str = ""
    """Time at which the data set was finished, in UTC, ISO 8601."""
    number: int | None = None
    """Number of the manifest, from 1; None for one of version 0.1."""
    files: str | None = None
    """Path of the table of files (column ``path``), relative to the data set."""
    files_digest: str | None = None
    """SHA-256 of that table."""

    def digest(self) -> str:
        """Returns the SHA-256 by which readers, trainings and registered versions pin a manifest.

        That of a manifest without a number is the same as in version 0.1.
        """
        unset = {name for name in _OF_FILES if getattr(self, name) is None}
        values = self.model_dump(mode="json", exclude=unset)
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def write_manifest(uri: str, manifest: Manifest, files: Sequence[str] | None = None) -> Manifest:
    """Writes the next manifest of the data set at ``uri``, which is finished with it.

    Args:
        uri: URI of the data set.
        manifest: Description without number, files and time.
        files: Paths of the files of rows, relative to ``uri``; None lists all.

    Returns:
        The manifest as it is written.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    former = (_number(name) for name in list_files(uri, MANIFEST_FOLDER) if name.endswith(".json"))
    number = max(former, default=0) + 1
    table = f"{MANIFEST_FOLDER}/{number:06d}.parquet"
    _write_files(uri, table, _list_row_files(uri) if files is None else files)
    digest = hashlib.sha256(read_bytes(join_uri(uri, table))).hexdigest()
    finished = manifest.replace(finished_at=now, number=number, files=table, files_digest=digest)
    text = json.dumps(finished.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    for name in (f"{MANIFEST_FOLDER}/{number:06d}.json", MANIFEST):
        write_bytes(join_uri(uri, name), text.encode())
    return finished


def number_manifest(uri: str) -> None:
    """Records the files of a manifest without a number, before further files are added."""
    current = read_manifest(uri)
    if current is None or current.files is not None or exists(join_uri(uri, _UNNUMBERED_FILES)):
        return
    _write_files(uri, _UNNUMBERED_FILES, _list_row_files(uri))
    write_bytes(
        join_uri(uri, f"{MANIFEST_FOLDER}/000000.json"), read_bytes(join_uri(uri, MANIFEST))
    )


def remove_manifest(uri: str) -> None:
    """Marks a data set as unfinished, before its rows are changed; numbered manifests stay."""
    remove(join_uri(uri, MANIFEST))


def read_manifest(uri: str) -> Manifest | None:
    """Returns the current manifest at ``uri``, or None where there is none or no data set.

    Raises:
        RequestError: ``manifest.json`` is not of a pairs data set, or of a later schema.
    """
    path = join_uri(uri, MANIFEST)
    return _read(path) if exists(path) else None


def list_manifests(uri: str) -> list[Manifest]:
    """Returns all manifests of a data set, the current one last.

    Raises:
        RequestError: a manifest is of a later schema.
    """
    names = [name for name in list_files(uri, MANIFEST_FOLDER) if name.endswith(".json")]
    manifests = [_read(join_uri(uri, name)) for name in sorted(names)]
    current = read_manifest(uri)
    return [*manifests, *([current] if current is not None and current not in manifests else [])]


def require_finished(uri: str, digest: str | None = None) -> Manifest:
    """Returns a manifest of the data set at ``uri``.

    Args:
        uri: URI of the data set.
        digest: Digest of the manifest; None is the current one.

    Raises:
        UnfinishedDataError: there is no current one, so a run is still writing or was interrupted.
        RequestError: there is nothing at ``uri``, or no manifest of this digest.
    """
    if digest is not None:
        return _find_manifest(uri, digest)
    manifest = read_manifest(uri)
    if manifest is None:
        if not exists(uri):
            raise RequestError(
                f"{uri}: expected a pairs data set, but there is no such folder; give the output "
                "of `rayboot generate`"
            )
        raise UnfinishedDataError(
            f"{uri}: expected a finished pairs data set, but there is no {MANIFEST}; run the same "
            "`rayboot generate` again to finish it"
        )
    return manifest


def manifest_files(uri: str, manifest: Manifest, outcome: str = "face") -> list[str]:
    """Returns the files of rows that a manifest describes, relative to ``uri``, sorted.

    Args:
        uri: URI of the data set.
        manifest: One of its manifests.
        outcome: ``face`` or ``reject``.

    Raises:
        RequestError: the table of files is missing, or is not the one that the manifest describes.
    """
    prefix = f"outcome={outcome}/"
    if manifest.files is None:
        if not exists(join_uri(uri, _UNNUMBERED_FILES)):
            return _list_row_files(uri, f"outcome={outcome}")
        return _read_files(uri, _UNNUMBERED_FILES, prefix)
    table = join_uri(uri, manifest.files)
    if not exists(table) or hashlib.sha256(read_bytes(table)).hexdigest() != manifest.files_digest:
        raise RequestError(
            f"{table}: expected the table of files that manifest {manifest.number} describes, got "
            "none or another one; restore it, or generate the data set again"
        )
    return _read_files(uri, manifest.files, prefix)


def _find_manifest(uri: str, digest: str) -> Manifest:
    current = read_manifest(uri)
    if current is not None and current.digest() == digest:
        return current
    manifests = list_manifests(uri)
    for manifest in manifests:
        if manifest.digest() == digest:
            return manifest
    known = ", ".join(manifest.digest()[:12] for manifest in manifests) or "none"
    raise RequestError(
        f"{uri}: expected a manifest of digest {digest[:12]}, got {known}; give the data set that "
        "was used before"
    )


def _read(path: str) -> Manifest:
    try:
        values = json.loads(read_bytes(path))
    except ValueError as error:
        raise RequestError(
            f"{path}: expected the JSON of a pairs data set, got a file that cannot be parsed "
            f"({error}); give the URI of a pairs data set"
        ) from error
    version = values.get("schema_version", 0) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RequestError(
            f"{path}: expected schema version {SCHEMA_VERSION} or below, got schema version "
            f"{version}; update rayboot"
        )
    return parse_config(Manifest, values, source=path)


def _number(name: str) -> int:
    return int(name.removeprefix(f"{MANIFEST_FOLDER}/").removesuffix(".json"))


def _list_row_files(uri: str, below: str = "") -> list[str]:
    names = list_files(uri, below)
    return sorted(n for n in names if n.startswith("outcome=") and n.endswith(".parquet"))


def _write_files(uri: str, table: str, files: Sequence[str]) -> None:
    write_table(join_uri(uri, table), pa.table({"path": pa.array(sorted(files), pa.string())}))


def _read_files(uri: str, table: str, prefix: str) -> list[str]:
    names: list[str] = read_table(join_uri(uri, table))["path"].to_pylist()
    return [name for name in names if name.startswith(prefix)]
