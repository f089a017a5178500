"""From the name of a registered version to its weights file on this machine."""

import os
import re
import threading
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from rayboot.errors import RequestError, did_you_mean
from rayboot.registry.promotion import CHAMPION, describe_missing_champion
from rayboot.registry.runs import (
    absolute_registry_uri,
    absolute_tracking_uri,
    open_existing_store,
    set_default_store,
)

__all__ = ["WEIGHTS_FILE", "download_version"]

# The weights are one file of a few megabytes; its progress bar would break the bars of the run.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

WEIGHTS_FILE = "vrn.safetensors"
"""Name of the weights file among the artifacts of a registered version, whatever its network."""

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")

_DOWNLOADED: dict[tuple[str, str], Path] = {}
"""Weights files of registered versions, which never change, by registry and model URI."""

_MAX_LISTED = 5

_DOWNLOAD_LOCK = threading.Lock()


def download_version(model: str, tracking_uri: str | None) -> tuple[str, Path]:
    """Downloads the weights of a registered version, once per process.

    Args:
        model: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        tracking_uri: URI of the MLflow store; by default MLflow's own setting.

    Returns:
        The model's URI, an alias replaced by its current version, and the weights file.

    Raises:
        RequestError: the name is malformed, or there is no such version.
    """
    uri = _pin_version(model, tracking_uri)
    store = absolute_tracking_uri(tracking_uri or mlflow.get_tracking_uri())
    registry = absolute_registry_uri(tracking_uri)
    with _DOWNLOAD_LOCK:
        path = _DOWNLOADED.get((registry, uri))
        if path is None or not path.is_file():
            path = _DOWNLOADED[registry, uri] = _download_weights(uri, store, registry)
    return uri, path


def _pin_version(model: str, tracking_uri: str | None) -> str:
    """Returns the URI of a registered model with an alias replaced by its current version."""
    match = _MODEL_URI.fullmatch(model)
    if match is None:
        raise RequestError(f"model {model}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    if match["alias"] is None:
        return model
    client = open_existing_store(tracking_uri)
    try:
        version = client.get_model_version_by_alias(match["name"], match["alias"]).version
    except MlflowException as error:
        why = describe_missing_champion(client, match["name"])
        if match["alias"] == CHAMPION and why is not None:
            raise RequestError(f"model {model}: {why}") from error
        raise RequestError(
            f"model {model}: the registry {absolute_registry_uri(tracking_uri)} has no such "
            f"alias ({error}){_similar_names(client, match['name'])}; set MLFLOW_TRACKING_URI to "
            "the store that has it, or name a version"
        ) from error
    return f"models:/{match['name']}/{version}"


def _download_weights(uri: str, tracking_uri: str, registry_uri: str) -> Path:
    """Downloads the weights of a registered version."""
    client = open_existing_store(tracking_uri)  # MLflow would create it
    # Given a store as an argument, MLflow would use it for the artifacts only, and look the
    # version up in the default registry.
    with set_default_store(tracking_uri):
        try:
            return Path(mlflow.artifacts.download_artifacts(f"{uri}/artifacts/{WEIGHTS_FILE}"))
        except (MlflowException, OSError) as error:
            name, _, version = uri.removeprefix("models:/").partition("/")
            if (files := _list_artifacts(client, name, version)) is None:
                raise RequestError(
                    f"model {uri}: cannot be read from the registry {registry_uri} ({error})"
                    f"{_similar_names(client, name)}; set MLFLOW_TRACKING_URI, or "
                    "MLFLOW_REGISTRY_URI, to the store that has it"
                ) from error
            found = _single_weights(uri, files)
            return Path(mlflow.artifacts.download_artifacts(f"{uri}/{found}"))


def _similar_names(client: MlflowClient, name: str) -> str:
    """Returns which registered models a name may be meant for, as the part of a message."""
    try:
        names = {model.name for model in client.search_registered_models()}
    except MlflowException:
        return ""
    return "" if name in names else did_you_mean(name, names)


def _list_artifacts(client: MlflowClient, name: str, version: str) -> list[str] | None:
    """Returns the files of a version in up to three levels of folders; None if it is missing."""
    try:
        repository = get_artifact_repository(client.get_model_version_download_uri(name, version))
        items = list(repository.list_artifacts())
        for _ in range(2):
            folders = [item for item in items if item.is_dir]
            items = [item for item in items if not item.is_dir]
            for folder in folders:
                items += repository.list_artifacts(folder.path)
    except (MlflowException, OSError):
        return None
    return [item.path for item in items if not item.is_dir]


def _single_weights(uri: str, files: list[str]) -> str:
    """Returns the one weights file of a version that rayboot did not register.

    Raises:
        RequestError: it has none, or several.
    """
    found = [file for file in files if file.endswith(".safetensors")]
    if len(found) != 1:
        contained = ", ".join(files[:_MAX_LISTED]) or "no file"
        raise RequestError(
            f"model {uri}: expected artifacts/{WEIGHTS_FILE}, or one other .safetensors file, got "
            f"{contained}; this version was not registered by rayboot: give the weights file of a "
            "network of rayboot, or another version"
        )
    return found[0]
