"""JSON Schema of the config of each command, for editors and for those who write a config."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from rayboot.submission.tasks import CONFIG_TYPES

__all__ = ["describe_config"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
"""A reference of Sphinx to a class or function; its last part is the name."""


class _WithoutFieldTitles(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of the names of keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Returns False for every field."""
        return False


def describe_config(task: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of the config of a command.

    Descriptions are the docstrings of the keys. Former keys, which are accepted with a warning,
    are not in it.

    Args:
        task: a name of :data:`~rayboot.submission.tasks.CONFIG_TYPES`.
    """
    schema = CONFIG_TYPES[task].model_json_schema(schema_generator=_WithoutFieldTitles)
    for part in _find_described(schema):
        part["description"] = _as_plain_text(part["description"])
    return {"$schema": _DIALECT, **schema}


def _find_described(schema: Any) -> Iterator[dict[str, Any]]:
    """Yields every part of a schema that has a description."""
    if isinstance(schema, list):
        for item in schema:
            yield from _find_described(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("description"), str):
            yield schema
        for item in schema.values():
            yield from _find_described(item)


def _as_plain_text(docstring: str) -> str:
    """Returns a docstring without markup, each of its paragraphs as one line."""
    text = _ROLE.sub(r"\1", docstring).replace("``", "`")
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(paragraphs)
