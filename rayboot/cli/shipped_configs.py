"""The configs that come with rayboot, found by name.

A wheel contains the folder ``configs/`` of the repository as ``rayboot/configs``. In a clone, and
so in an editable installation, it is the folder itself.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import rayboot
from rayboot.errors import RequestError, did_you_mean

__all__ = ["ShippedConfig", "copy_config", "find_config", "list_configs"]

_SCHEMA = re.compile(r"# yaml-language-server: \$schema=(schemas/(\w+)\.json)\n")
_COMMANDS = {"robustness": "evaluate --experiment robustness"}
"""Command of a schema that has another name."""


class ShippedConfig(NamedTuple):
    """A config that comes with rayboot.

    Attributes:
        name: name of the file without ``.yaml``.
        path: the file.
        command: command that takes it, such as ``round``.
        summary: first sentence of its comment.
    """

    name: str
    path: Path
    command: str
    summary: str


def list_configs() -> list[ShippedConfig]:
    """Returns all shipped configs, by name.

    Raises:
        RequestError: the installation has no configs.
    """
    paths = sorted(_find_folder().glob("*.yaml"), key=lambda path: path.stem)
    return [_describe(path) for path in paths]


def find_config(name: str) -> Path:
    """Returns the file of a shipped config.

    Args:
        name: its name, with or without ``.yaml``.

    Raises:
        RequestError: there is none of this name.
    """
    name = name.removesuffix(".yaml")
    paths = {path.stem: path for path in _find_folder().glob("*.yaml")}
    if name not in paths:
        raise RequestError(
            f"config {name}: there is no such file here, and rayboot ships no config of this name"
            f"{did_you_mean(name, paths)}; list them with `rayboot configs list`"
        )
    return paths[name]


def copy_config(name: str, folder: Path) -> Path:
    """Copies a shipped config into a folder, with the schema that its first line names.

    Args:
        name: name of the config.
        folder: folder to write to; it is created if it is missing.

    Returns:
        The copied file.

    Raises:
        RequestError: there is no config of this name, a file that is in the way was not written
            by rayboot, or the folder cannot be written to.
    """
    source = find_config(name)
    target = folder / source.name
    text = source.read_text("utf-8")
    if target.exists():
        raise RequestError(
            f"{target} exists and is kept; remove it first, or give another folder: "
            f"rayboot configs copy {source.stem} DIR"
        )
    try:
        if match := _SCHEMA.match(text):
            _copy_schema(source.parent / match[1], folder / match[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"{target} cannot be written ({error.strerror}); give another folder"
        ) from error
    return target


def _copy_schema(source: Path, target: Path) -> None:
    """Writes a schema; one of another version of rayboot is replaced.

    Raises:
        RequestError: the file exists and is no schema of the same config.
    """
    schema = source.read_text("utf-8")
    if target.exists():
        try:
            title = json.loads(target.read_text("utf-8"))["title"]
        except (ValueError, TypeError, KeyError):
            title = None
        if title != json.loads(schema)["title"]:
            raise RequestError(
                f"{target} exists and is no schema of rayboot; give another folder to copy to"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(schema, encoding="utf-8")


def _find_folder() -> Path:
    """Returns the folder of the shipped configs."""
    package = Path(rayboot.__file__).parent
    clone = package.parent
    if (package / "configs").is_dir():
        return package / "configs"
    # Beside an installed package there may be a folder `configs` of another one.
    if (clone / "pyproject.toml").is_file() and (clone / "configs").is_dir():
        return clone / "configs"
    raise RequestError(
        f"the configs of rayboot are missing: neither {package}/configs nor a clone of the "
        "repository has them; install rayboot again"
    )


def _describe(path: Path) -> ShippedConfig:
    text = path.read_text("utf-8")
    schema = _SCHEMA.match(text)
    task = schema[2] if schema else ""
    comment = re.match(r"(?:#.*\n)*", text[schema.end() if schema else 0 :])
    words = " ".join(line.strip("# ") for line in (comment[0] if comment else "").splitlines())
    sentence = re.match(r"(?:[^(]|\([^)]*\))*?[.:](?=\s|$)", words)
    summary = (sentence[0] if sentence else words).rstrip(":").removesuffix(".") + "."
    return ShippedConfig(path.stem, path, _COMMANDS.get(task, task), summary)
