"""``manifest.json`` of a data set: written last, it marks the data set as finished."""

import datetime
import json
from typing import Any

from rayboot.config import FrozenConfig, parse_config
from rayboot.data.schema import SCHEMA_VERSION
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.io.storage import exists, join_uri, read_bytes, remove, write_bytes

__all__ = ["Manifest", "read_manifest", "remove_manifest", "require_finished", "write_manifest"]

_NAME = "manifest.json"


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


def write_manifest(uri: str, manifest: Manifest) -> Manifest:
    """Marks the data set at ``uri`` as finished, now; returns the manifest with that time."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    finished = manifest.replace(finished_at=now)
    text = json.dumps(finished.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    write_bytes(join_uri(uri, _NAME), text.encode())
    return finished


def remove_manifest(uri: str) -> None:
    """Marks a data set as unfinished, before it is changed."""
    remove(join_uri(uri, _NAME))


def read_manifest(uri: str) -> Manifest | None:
    """Returns the manifest at ``uri``, or None where the data set is unfinished or absent.

    Raises:
        RequestError: ``manifest.json`` is not of a pairs data set, or of a later schema.
    """
    path = join_uri(uri, _NAME)
    if not exists(path):
        return None
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


def require_finished(uri: str) -> Manifest:
    """Returns the manifest at ``uri``.

    Raises:
        UnfinishedDataError: there is none, so a run is still writing or was interrupted.
        RequestError: there is nothing at ``uri``.
    """
    manifest = read_manifest(uri)
    if manifest is None:
        if not exists(uri):
            raise RequestError(
                f"{uri}: expected a pairs data set, but there is no such folder; give the output "
                "of `rayboot generate`"
            )
        raise UnfinishedDataError(
            f"{uri}: expected a finished pairs data set, but there is no {_NAME}; run the same "
            "`rayboot generate` again to finish it"
        )
    return manifest
