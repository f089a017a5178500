"""The frozen base of every config, and reading one from YAML.

A run is one YAML file. Unknown keys and impossible values are refused here,
before a cluster starts, in one sentence that names the key and the remedy.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rayboot.credentials import find_login, login_remedy
from rayboot.errors import RequestError

__all__ = ["FrozenConfig", "load_config", "parse_config"]

ConfigT = TypeVar("ConfigT", bound="FrozenConfig")


class FrozenConfig(BaseModel):
    """Base of every config: immutable, no unknown keys, no logins in URLs, with a digest."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _require_no_login(cls, values: Any) -> Any:
        """Configs are written into manifests and MLflow, for all who read those."""
        if (url := find_login(values)) is not None:
            raise RequestError(login_remedy(url))
        return values

    def digest(self) -> str:
        """SHA-256 (hex, 64 characters) of the canonical JSON of all values."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def replace(self, **changes: Any) -> Self:
        """A validated copy with ``changes`` applied to top-level fields."""
        return type(self).model_validate({**self.model_dump(), **changes})


def parse_config(cls: type[ConfigT], values: Any, *, source: str) -> ConfigT:
    """Validates ``values`` as ``cls``.

    Raises:
        RequestError: ``values`` is no mapping, has an unknown key or a bad value.
            ``source`` (a file name, say) is named in the sentence.
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
        raise RequestError(
            f"{source}: {problems}; allowed keys at the top: {', '.join(sorted(cls.model_fields))}"
        ) from error


def load_config(cls: type[ConfigT], path: str | Path) -> ConfigT:
    """Reads one YAML file as ``cls``.

    Raises:
        RequestError: the file is missing, is not YAML, or does not validate.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(
            f"config {path}: cannot be read ({error.strerror}); give --config an existing YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(f"config {path}: not a text file in UTF-8") from error
    except yaml.YAMLError as error:
        raise RequestError(
            f"config {path}: not valid YAML: {str(error).splitlines()[0]}"
        ) from error
    return parse_config(cls, values or {}, source=f"config {path}")
