"""From the name of a registered version to its weights file on this machine."""

import os
import re
import threading
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from rayboot.errors import RequestError
from rayboot.registry.promotion import CHAMPION, describe_missing_champion
from rayboot.registry.runs import absolute_tracking_uri, open_existing_store, set_default_store

__all__ = ["WEIGHTS_FILE", "download_version"]

# The weights are one file of a few megabytes; its progress bar would break the bars of the run.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

WEIGHTS_FILE = "vrn.safetensors"
"""Name of the weights file among the artifacts of a registered version, whatever its network."""

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")

_DOWNLOADED: dict[tuple[str, str], Path] = {}
"""Weights files of registered versions, which never change, by tracking URI and model URI."""

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
    with _DOWNLOAD_LOCK:
        path = _DOWNLOADED.get((store, uri))
        if path is None or not path.is_file():
            path = _DOWNLOADED[store, uri] = _download_weights(uri, store)
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
            f"model {model}: the registry {tracking_uri or mlflow.get_tracking_uri()} has no such "
            f"alias ({error}); set MLFLOW_TRACKING_URI to the store that has it, or name a version"
        ) from error
    return f"models:/{match['name']}/{version}"


def _download_weights(uri: str, tracking_uri: str) -> Path:
    """Downloads the weights of a registered version."""
    open_existing_store(tracking_uri)  # MLflow would create it
    try:
        # Given a store as an argument, MLflow would use it for the artifacts only, and look the
        # version up in the default registry.
        with set_default_store(tracking_uri):
            path = mlflow.artifacts.download_artifacts(f"{uri}/artifacts/{WEIGHTS_FILE}")
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"model {uri}: cannot be read from the registry {tracking_uri} ({error}); set "
            "MLFLOW_TRACKING_URI to the store that has it"
        ) from error
    return Path(path)
