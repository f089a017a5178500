"""Validation by a custom resource definition, as in an API server that forbids unknown fields."""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

__all__ = ["CustomResource"]


class CustomResource:
    """A custom resource definition with its schemas by version."""

    def __init__(self, path: Path) -> None:
        spec = yaml.safe_load(path.read_text("utf-8"))["spec"]
        self.kind: str = spec["names"]["kind"]
        self._schemas = {
            f"{spec['group']}/{version['name']}": version["schema"]["openAPIV3Schema"]
            for version in spec["versions"]
            if version["served"]
        }

    def errors(self, manifest: dict[str, Any]) -> list[str]:
        """Returns the errors of a manifest, one line each."""
        schema = _strict(self._schemas[manifest["apiVersion"]])
        # Kubernetes defines the metadata itself.
        body = {key: manifest[key] for key in manifest if key != "metadata"}
        errors = jsonschema.Draft7Validator(schema).iter_errors(body)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def _strict(schema: Any) -> Any:
    """Returns a structural schema as JSON schema that forbids unknown properties."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    strict = {key: _strict(value) for key, value in schema.items() if key != "properties"}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema:
        strict["properties"] = {key: _strict(part) for key, part in schema["properties"].items()}
        if not open_ended:
            strict.setdefault("additionalProperties", False)
    return strict
