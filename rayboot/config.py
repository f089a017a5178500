"""The frozen base class of every config, and how a config is read from YAML.

A run is one YAML file. Unknown keys and invalid values are rejected here, before a
cluster starts, with one sentence that names the key and the remedy.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

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
from rayboot.errors import RequestError, did_you_mean

__all__ = [
    "FormerKey",
    "FrozenConfig",
    "ModelName",
    "Uri",
    "describe_yaml_error",
    "load_config",
    "parse_config",
    "parse_yaml",
]

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
            f"{'.'.join(map(str, item['loc'])) or '(top)'}: {_describe_problem(cls, item)}"
            for item in error.errors()
        )
        raise RequestError(f"{source}: {problems}") from error


def _describe_problem(cls: type[FrozenConfig], item: Mapping[str, Any]) -> str:
    """Returns what is wrong with one key; of an unknown key, which ones there are instead."""
    if item["type"] != "extra_forbidden":
        return str(item["msg"])
    *outer, key = item["loc"]
    names = _keys_at(cls, outer)
    return f"unknown key{did_you_mean(str(key), names)} (known keys: {', '.join(sorted(names))})"


def _keys_at(annotation: Any, location: Sequence[int | str]) -> set[str]:
    """Returns the keys of the config at a location of pydantic's errors.

    Args:
        annotation: type of the value at which the location begins.
        location: names of keys, positions in lists, and the tag or class of a member of a union.
    """
    if isinstance(annotation, type) and issubclass(annotation, FrozenConfig):
        if not location:
            return set(annotation.model_fields)
        field = annotation.model_fields.get(str(location[0]))
        return _keys_at(field.annotation, location[1:]) if field else set()
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _keys_at(members[0], location)
    if origin in (Union, UnionType):
        # A member is named in the location unless the others are None or scalars.
        named = [member for member in members if location and _has_tag(member, location[0])]
        remaining = location[1:] if named else location
        return set().union(*(_keys_at(member, remaining) for member in named or members))
    if origin in (list, tuple, dict, Mapping) and location:
        # The last of the types is that of a mapping's values; tuples in configs have one type.
        values = [member for member in members if member is not Ellipsis]
        return _keys_at(values[-1], location[1:])
    return set()


def _has_tag(member: Any, tag: int | str) -> bool:
    """Whether a member of a union is the one that a location calls ``tag``."""
    if not (isinstance(member, type) and issubclass(member, FrozenConfig)):
        return False
    return tag in (member.__name__, *(field.default for field in member.model_fields.values()))


def load_config(cls: type[ConfigT], path: str | Path) -> ConfigT:
    """Reads a YAML file and validates it as ``cls``.

    Raises:
        RequestError: the file cannot be read, is not YAML, or is not a valid config.
    """
    path = Path(path)
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
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
            f"config {path}: not valid YAML: {describe_yaml_error(error)}"
        ) from error
    return parse_config(cls, values or {}, source=f"config {path}")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, of which the last of several equal keys would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping; its keys must differ, apart from those that ``<<`` merges in."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if (first := lines.setdefault(key.value, line)) != line:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key.value} is given twice, in lines {first} and {line}; merge them",
                    key.start_mark,
                )
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Returns the value of a YAML document, without tags that create objects.

    Raises:
        yaml.YAMLError: the text is no YAML, or a key of a mapping is given twice.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """Returns what is wrong in one line, with the number of the line where it is known."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None or mark is None:
        return str(error).splitlines()[0]
    hint = "; indent with spaces" if "\\t" in problem else ""
    return f"{problem} (line {mark.line + 1}){hint}"
