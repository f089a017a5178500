"""``manifest.json``: written last, it makes a data set whole."""

import datetime
import json
from typing import Any

from rayboot.config import FrozenConfig, parse_config
from rayboot.data.schema import SCHEMA_VERSION
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.io.storage import exists, join_uri, read_bytes, remove, write_bytes

__all__ = ["Manifest", "read_manifest", "require_finished", "withdraw_manifest", "write_manifest"]

_NAME = "manifest.json"


class Manifest(FrozenConfig):
    """What a finished data set is, and what made it."""

    schema_version: int = SCHEMA_VERSION
    config: dict[str, Any]
    config_digest: str
    model_digest: str
    """SHA-256 of the weights file."""
    code_version: str
    counts: dict[str, int]
    """Faces, views, views left out, rejects, and ``reject/STAGE/REASON`` each."""
    run_id: str = ""
    """In the log lines of what made it; of a round, its MLflow run's."""
    finished_at: str = ""
    """UTC, ISO 8601."""


def write_manifest(uri: str, manifest: Manifest) -> Manifest:
    """Completes the data set at ``uri``; the time is set here."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    stamped = manifest.replace(finished_at=now)
    text = json.dumps(stamped.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    write_bytes(join_uri(uri, _NAME), text.encode())
    return stamped


def withdraw_manifest(uri: str) -> None:
    """Makes a data set unfinished, before it is changed."""
    remove(join_uri(uri, _NAME))


def read_manifest(uri: str) -> Manifest | None:
    """The manifest at ``uri``, or None where the data set is unfinished or absent.

    Raises:
        RequestError: it is not the manifest of a pairs data set, or of a later schema.
    """
    path = join_uri(uri, _NAME)
    if not exists(path):
        return None
    try:
        values = json.loads(read_bytes(path))
    except ValueError as error:
        raise RequestError(f"{path}: no JSON ({error}); give a pairs data set") from error
    version = values.get("schema_version", 0) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RequestError(
            f"{path}: schema version {version}, this rayboot reads up to {SCHEMA_VERSION}; "
            "update rayboot"
        )
    return parse_config(Manifest, values, source=path)


def require_finished(uri: str) -> Manifest:
    """The manifest at ``uri``.

    Raises:
        UnfinishedDataError: there is none, so a run is still writing or was cut off.
    """
    manifest = read_manifest(uri)
    if manifest is None:
        raise UnfinishedDataError(
            f"{uri}: no {_NAME}, so this is no finished pairs data set; "
            "run the same `rayboot generate` again to finish it"
        )
    return manifest
