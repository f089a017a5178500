"""The paths of a config made absolute, once, before anything runs in other folders.

Ray's workers have working folders of their own, Ray Train's a new one for each run. So relative
paths are resolved in the process of the command, against the folder that it runs in.
"""

from pathlib import Path
from typing import TypeVar

from rayboot.config import FrozenConfig
from rayboot.io.paths import has_protocol
from rayboot.io.storage import absolute_uri

__all__ = ["absolute_inputs", "absolute_model", "relative_paths", "with_absolute_paths"]

ConfigT = TypeVar("ConfigT", bound=FrozenConfig)

_NAMED_MODELS = ("builtin:", "models:/")


def with_absolute_paths(config: ConfigT) -> ConfigT:
    """Returns a config whose paths mean the same in every folder of this machine.

    What identifies a request, such as its digest, is computed from the config as it was written:
    a project that is moved as a whole resumes its runs.

    Raises:
        RequestError: the protocol of a URI is unknown, or its package is not installed.
    """
    return config.replace_paths(absolute_uri, absolute_model)


def relative_paths(config: FrozenConfig) -> list[str]:
    """Returns the paths of a config that mean another file or folder in every working folder."""
    found: dict[str, None] = {}

    def note(path: str) -> str:
        is_relative = not (has_protocol(path) or path.startswith(("/", "~", *_NAMED_MODELS)))
        if path and is_relative:
            found[path] = None
        return path

    config.replace_paths(note, note)
    return list(found)


def absolute_inputs(inputs: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Returns one URI or several made absolute."""
    if isinstance(inputs, str):
        return absolute_uri(inputs)
    return tuple(absolute_uri(uri) for uri in inputs)


def absolute_model(model: str) -> str:
    """Returns the name of a model with the path of a weights file made absolute."""
    if model.startswith(_NAMED_MODELS):
        return model
    return str(Path(model.removeprefix("file://")).expanduser().absolute())
