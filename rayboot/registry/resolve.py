"""From the name of a model to a local weights file.

A model is named by a file, by ``builtin:...`` or by ``models:/...`` in an MLflow registry.
A process resolves the same registered version or the same file only once: a round needs its
teacher in many places, and each download of a large network takes minutes.
"""

import functools
import hashlib
import os
import re
import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from rayboot.errors import RequestError
from rayboot.models import NetworkConfig, read_config
from rayboot.registry.model_names import BUILTIN
from rayboot.registry.runs import absolute_tracking_uri, make_client, set_default_store

__all__ = ["WEIGHTS_FILE", "ResolvedModel", "resolve_model"]

# The weights are one file of a few megabytes; its progress bar would break the bars of the run.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

WEIGHTS_FILE = "vrn.safetensors"
"""Name of the weights file among the artifacts of a registered version, whatever its network."""

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")

_DOWNLOADED: dict[tuple[str, str], Path] = {}
"""Weights files of registered versions, which never change, by tracking URI and model URI."""

_DOWNLOAD_LOCK = threading.Lock()


@dataclass(frozen=True)
class ResolvedModel:
    """A model whose weights are available on this machine.

    Attributes:
        uri: name of the model; an alias is replaced by the version that it pointed to.
        path: local weights file.
        sha256: SHA-256 of that file, hex, 64 characters.
        config: architecture of the network, from the file's header.
    """

    uri: str
    path: Path
    sha256: str
    config: NetworkConfig


def resolve_model(model: str | ResolvedModel, tracking_uri: str | None = None) -> ResolvedModel:
    """Finds the weights of a model, and downloads them if they are in a registry.

    An alias is looked up at every call, since it may have moved; the version that it points to
    is downloaded once per process.

    Args:
        model: a file (.safetensors, .t7, .pth), ``builtin:compact``, ``builtin:head``,
            ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``. A resolved model is returned
            as it is.
        tracking_uri: URI of the MLflow store; by default MLflow's own setting.

    Raises:
        RequestError: there is no such file, or no such model version.
        WeightsError: the weights file is damaged.
    """
    if isinstance(model, ResolvedModel):
        return model
    if model.startswith("models:/"):
        uri = _pin_version(model, tracking_uri)
        store = absolute_tracking_uri(tracking_uri or mlflow.get_tracking_uri())
        with _DOWNLOAD_LOCK:
            path = _DOWNLOADED.get((store, uri))
            if path is None or not path.is_file():
                path = _DOWNLOADED[store, uri] = _download(uri, store)
    elif model in BUILTIN:
        uri, path = model, Path(str(resources.files("rayboot.models").joinpath(BUILTIN[model])))
    else:
        uri, path = model, Path(model.removeprefix("file://")).expanduser()
    if not path.is_file():
        raise RequestError(
            f"model {model}: no such file; give a weights file, {', '.join(BUILTIN)} or "
            "models:/NAME@ALIAS"
        )
    status = path.stat()
    content = _read_content(path, status.st_size, status.st_mtime_ns, status.st_ino)
    return ResolvedModel(uri, path, *content)


def _pin_version(model: str, tracking_uri: str | None) -> str:
    """Returns the URI of a registered model with an alias replaced by its current version."""
    match = _MODEL_URI.fullmatch(model)
    if match is None:
        raise RequestError(f"model {model}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    if match["alias"] is None:
        return model
    client = make_client(tracking_uri)
    try:
        version = client.get_model_version_by_alias(match["name"], match["alias"]).version
    except MlflowException as error:
        raise RequestError(
            f"model {model}: the registry {tracking_uri or mlflow.get_tracking_uri()} has no such "
            f"alias ({error}); set MLFLOW_TRACKING_URI to the store that has it, or name a version"
        ) from error
    return f"models:/{match['name']}/{version}"


def _download(uri: str, tracking_uri: str) -> Path:
    """Downloads the weights of a registered version."""
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


@functools.cache
def _read_content(path: Path, size: int, mtime_ns: int, inode: int) -> tuple[str, NetworkConfig]:
    """Returns the digest and the architecture of a weights file.

    ``size``, ``mtime_ns`` and ``inode`` are only part of the cache's key: a file that was
    replaced is read again.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest(), read_config(path)
