"""The page of the configs' keys, from the JSON Schema of each command's config."""

import json
from pathlib import Path
from typing import Any

from rayboot.cli.shipped_configs import list_configs
from rayboot.submission.config_schema import describe_config
from rayboot.submission.tasks import CONFIG_TYPES

__all__ = ["describe_configs"]

_INTRODUCTION = Path(__file__).with_name("config.introduction.md")

_COMMANDS = {"robustness": "evaluate --experiment robustness"}
"""Command of a schema that has another name."""

_SAME_AS = {"plan": "generate"}
"""Commands that take the config of another one."""

_SCHEMAS = "$defs"
_MAX_DEFAULT = 60
"""Number of characters up to which a default is printed whole."""


def describe_configs() -> str:
    """Returns the page as Markdown: one section a command, then one for each nested group of keys.

    Raises:
        ValueError: two commands have different groups of keys of one name.
    """
    groups: dict[str, dict[str, Any]] = {}
    parts = [_INTRODUCTION.read_text("utf-8")]
    for task, config_type in CONFIG_TYPES.items():
        if config_type is CONFIG_TYPES.get(_SAME_AS.get(task, "")):
            parts.append(f"## {task}\n\nThe config of [{_SAME_AS[task]}](#{_SAME_AS[task]}).\n")
            continue
        schema = describe_config(task)
        for name, group in schema.get(_SCHEMAS, {}).items():
            if groups.setdefault(name, group) != group:
                raise ValueError(f"{name} differs between the configs of two commands")
        parts.append(_describe_task(task, schema))
    parts.append(
        "## Groups of keys\n\nThe types in the tables above that have keys of their own.\n"
    )
    parts += [_describe_group(name, groups[name]) for name in sorted(groups)]
    return "\n".join(parts)


def _describe_task(task: str, schema: dict[str, Any]) -> str:
    command = _COMMANDS.get(task, task)
    lines = [f"## {task}\n", f"For `rayboot {command}`. {_as_text(schema['description'])}\n"]
    shipped = [config for config in list_configs() if config.command == command]
    lines += [f"- [`{row.name}`](../../configs/{row.path.name}): {row.summary}" for row in shipped]
    if shipped:
        lines.append("")
    return "\n".join([*lines, _describe_keys(schema)])


def _describe_group(name: str, schema: dict[str, Any]) -> str:
    text = _as_text(schema.get("description", ""))
    if "enum" in schema:
        return f"### {name}\n\n{text} {_type_of(schema)}\n"
    return f"### {name}\n\n{text}\n\n{_describe_keys(schema)}"


def _describe_keys(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = ["| key | type | default | description |", "|---|---|---|---|"]
    for name, key in schema["properties"].items():
        default = "required" if name in required else _default_of(key)
        text = _as_cell(_as_text(key.get("description", "")))
        rows.append(f"| `{name}` | {_as_cell(_type_of(key))} | {_as_cell(default)} | {text} |")
    return "\n".join(rows) + "\n"


def _as_text(description: str) -> str:
    """Returns a description as Markdown; paragraphs stay, lines of a list as well."""
    return description.replace("*", "\\*").replace("<", "\\<")


def _as_cell(text: str) -> str:
    return text.replace("\n\n", "<br>").replace("\n", " ").replace("|", "\\|")


def _default_of(key: dict[str, Any]) -> str:
    if "default" not in key:
        # pydantic makes such defaults by a function.
        return "see its keys" if "$ref" in json.dumps(key) else "empty"
    text = json.dumps(key["default"], ensure_ascii=False)
    if isinstance(key["default"], dict) and "$ref" in json.dumps(key):
        return "see its keys"
    return f"`{text}`" if len(text) <= _MAX_DEFAULT else f"`{text[:_MAX_DEFAULT].rstrip()}` ..."


def _type_of(key: dict[str, Any]) -> str:
    """Returns the type of a value, as Markdown, with links to groups of keys."""
    if "$ref" in key:
        name = key["$ref"].split("/")[-1]
        return f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in key:
            return " or ".join(dict.fromkeys(_type_of(option) for option in key[choice]))
    if "const" in key:
        return f"`{json.dumps(key['const'])}`"
    if "enum" in key:
        return ", ".join(f"`{json.dumps(value)}`" for value in key["enum"])
    return _describe_type(key)


def _describe_type(key: dict[str, Any]) -> str:
    kind = key.get("type", "any value")
    if kind == "array":
        if "prefixItems" in key:
            inner = ", ".join(_type_of(item) for item in key["prefixItems"])
            return f"list of {len(key['prefixItems'])}: {inner}"
        return f"list of {_type_of(key.get('items', {}))}"
    if kind == "object":
        return f"{_type_of(key.get('additionalProperties', {}))} by name"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
    limits = _describe_limits(key)
    return f"{words.get(kind, kind)} {limits}".strip()


def _describe_limits(key: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {key[name]}" for name, sign in signs.items() if name in key)
