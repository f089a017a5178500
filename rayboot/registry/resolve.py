"""From the name of a model to a local weights file.

A model is named by a file, by ``builtin:...`` or by ``models:/...`` in an MLflow registry.
A process resolves the same registered version or the same file only once: a round needs its
teacher in many places, and each download of a large network takes minutes. MLflow is imported
only for models in a registry.
"""

import functools
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rayboot.errors import RequestError, WeightsError, did_you_mean
from rayboot.models import NetworkConfig, require_weights
from rayboot.registry.model_names import BUILTIN

__all__ = ["ResolvedModel", "resolve_model"]


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
        model: a file (.safetensors, .t7, .pth), ``builtin:base`` or another built-in name,
            ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``. A resolved model is returned as it
            is.
        tracking_uri: URI of the MLflow store; by default MLflow's own setting.

    Raises:
        RequestError: there is no such file, no such model version, or the file does not contain
            the weights of a network.
    """
    if isinstance(model, ResolvedModel):
        return model
    if model.startswith("models:/"):
        from rayboot.registry.download import download_version

        uri, path = download_version(model, tracking_uri)
    elif model in BUILTIN:
        uri, path = model, Path(str(resources.files("rayboot.models").joinpath(BUILTIN[model])))
    else:
        uri, path = model, Path(model.removeprefix("file://")).expanduser()
    if not path.is_file():
        meant = f"builtin:{model}" if f"builtin:{model}" in BUILTIN else model
        is_path = not model.startswith("builtin:") and not path.is_absolute()
        where = f" ({path.absolute()})" if is_path else ""
        raise RequestError(
            f"model {model}: no such file{did_you_mean(meant, BUILTIN)}{where}; give a weights "
            f"file, {', '.join(BUILTIN)} or models:/NAME@ALIAS"
        )
    status = path.stat()
    try:
        content = _read_content(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except RequestError as error:
        if not uri.startswith("models:/"):
            raise
        raise RequestError(f"{error}; it is of the registered version {uri}") from error
    return ResolvedModel(uri, path, *content)


@functools.cache
def _read_content(path: Path, size: int, mtime_ns: int, inode: int) -> tuple[str, NetworkConfig]:
    """Returns the digest and the architecture of a weights file.

    ``size``, ``mtime_ns`` and ``inode`` are only part of the cache's key: a file that was
    replaced is read again.
    """
    try:
        config = require_weights(path)
    except WeightsError as error:
        raise RequestError(f"model {error}") from error
    return hashlib.sha256(path.read_bytes()).hexdigest(), config
