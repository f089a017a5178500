"""The frozen base class of every config, and how a config is read from YAML.

A run is one YAML file. Unknown keys and invalid values are rejected here, before a
cluster starts, with one sentence that names the key and the remedy.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from rayboot.credentials import explain_url_credentials, find_credentialed_url
from rayboot.errors import RequestError

__all__ = ["FormerKey", "FrozenConfig", "ModelName", "Uri", "load_config", "parse_config"]

_LOG = logging.getLogger(__name__)

ConfigT = TypeVar("ConfigT", bound="FrozenConfig")


def _replace_uri(value: str, info: ValidationInfo) -> str:
    return str(info.context["uri"](value)) if info.context else value


def _replace_model(value: str, info: ValidationInfo) -> str:
    return str(info.context["model"](value)) if info.context else value


Uri = Annotated[str, AfterValidator(_replace_uri)]
"""A local path or URI of a file or folder, as the type of a config's field.

:meth:`FrozenConfig.replace_paths` finds the fields of this type.
"""

ModelName = Annotated[str, AfterValidator(_replace_model)]
"""A weights file, ``builtin:...`` or ``models:/...``, as the type of a config's field."""


class FormerKey(NamedTuple):
    """The replacement of a config key that version 0.1 had.

    Attributes:
        name: key that replaces it; ``outer.inner`` where that belongs to a nested config.
        values: replacements of its values; values that are not listed stay as they are.
    """

    name: str
    values: Mapping[Any, Any] = MappingProxyType({})


class FrozenConfig(BaseModel):
    """Base class of every config: immutable, without unknown keys or credentials in URLs."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    former_keys: ClassVar[Mapping[str, FormerKey]] = MappingProxyType({})
    """Keys of version 0.1 that version 0.2 still accepts, with a warning."""

    @model_validator(mode="before")
    @classmethod
    def _accept_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.keys().isdisjoint(cls.former_keys):
            return values
        renamed = {key: value for key, value in values.items() if key not in cls.former_keys}
        for key, former in cls.former_keys.items():
            if key in values:
                _set_renamed(renamed, key, former, values[key])
        return renamed

    @model_validator(mode="before")
    @classmethod
    def _reject_url_credentials(cls, values: Any) -> Any:
        """Rejects credentials in URLs, because configs are written to manifests and to MLflow."""
        if (url := find_credentialed_url(values)) is not None:
            raise RequestError(explain_url_credentials(url))
        return values

    def digest(self) -> str:
        """Returns the SHA-256 (64 hexadecimal digits) of the canonical JSON of all values."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def replace(self, **changes: Any) -> Self:
        """Returns a validated copy with ``changes`` applied to top-level fields."""
        return type(self).model_validate({**self.model_dump(), **changes})

    def replace_paths(self, uri: Callable[[str], str], model: Callable[[str], str]) -> Self:
        """Returns a validated copy with all paths replaced, those of nested configs included.

        Args:
            uri: replacement of a :data:`Uri`.
            model: replacement of a :data:`ModelName`.
        """
        context = {"uri": uri, "model": model}
        return type(self).model_validate(self.model_dump(), context=context)


def _set_renamed(values: dict[str, Any], key: str, former: FormerKey, value: Any) -> None:
    """Stores the value of a former key under its new name and logs a warning.

    Raises:
        ValueError: the new key is given as well.
    """
    *outer, name = former.name.split(".")
    target = values
    for level in outer:
        nested = target.get(level, {})
        target[level] = nested.model_dump() if isinstance(nested, BaseModel) else dict(nested)
        target = target[level]
    if name in target:
        raise ValueError(f"{key} is the former name of {former.name}; give {former.name} only")
    # Only strings and booleans were renamed; lists and mappings are not hashable.
    renamed = former.values.get(value, value) if isinstance(value, str | bool) else value
    target[name] = renamed
    change = "" if renamed == value else f", and {value!r} is {renamed!r}"
    _LOG.warning(
        "config key %s is now %s%s; the former name is refused from version 0.3 on",
        key, former.name, change,
    )  # fmt: skip


def parse_config(cls: type[ConfigT], values: Any, *, source: str) -> ConfigT:
    """Validates ``values`` as ``cls``.

    Raises:
        RequestError: ``values`` is not a mapping, or has an unknown key or an invalid
            value. The message begins with ``source``, a file name for example.
    """
    if not isinstance(values, dict):
        raise RequestError(
            f"{source}: expected a mapping of config keys, got {type(values).__name__}"
        )
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}"
            for item in error.errors()
        )
        allowed = ", ".join(sorted(cls.model_fields))
        raise RequestError(
            f"{source}: {problems}; allowed keys at the top level: {allowed}"
        ) from error


def load_config(cls: type[ConfigT], path: str | Path) -> ConfigT:
    """Reads a YAML file and validates it as ``cls``.

    Raises:
        RequestError: the file cannot be read, is not YAML, or is not a valid config.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(
            f"config {path}: cannot be read ({error.strerror}); give --config an existing YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"config {path}: expected text in UTF-8, got other bytes; save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        raise RequestError(
            f"config {path}: not valid YAML: {str(error).splitlines()[0]}"
        ) from error
    return parse_config(cls, values or {}, source=f"config {path}")
