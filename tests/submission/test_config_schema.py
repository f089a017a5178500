import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rayboot.submission.config_schema import describe_config
from rayboot.submission.tasks import CONFIG_TYPES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


def named_schema(text: str) -> Path:
    """The file that the first line of a config names to editors."""
    match = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert match is not None, "begin with: # yaml-language-server: $schema=schemas/TASK.json"
    return CONFIGS / match[1]


def keys_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, key in part.get("properties", {}).items():
            yield f"{part['title']}.{name}", key


def test_the_schemas_in_the_clone_are_current() -> None:
    written = {path.stem: json.loads(path.read_text("utf-8")) for path in CONFIGS.glob("schemas/*")}
    # `plan` reads the configs of `generate`.
    expected = {task: describe_config(task) for task in CONFIG_TYPES if task != "plan"}
    assert written == expected, "run `make schemas`"


@pytest.mark.parametrize("name", FILES)
def test_a_config_satisfies_the_schema_that_it_names(name: str) -> None:
    text = (CONFIGS / name).read_text("utf-8")
    schema = json.loads(named_schema(text).read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    values = yaml.safe_load(text)
    assert [error.message for error in validator.iter_errors(values)] == []
    assert not validator.is_valid({**values, "no_such_key": 1})


@pytest.mark.parametrize("task", CONFIG_TYPES)
def test_every_key_is_described_in_plain_text(task: str) -> None:
    schema = describe_config(task)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, key in keys_of(schema):
        description = key.get("description") or schema["$defs"][key["$ref"].split("/")[-1]].get(
            "description"
        )
        assert description, f"{name}: add a docstring below the field"
        assert not re.search(r"``|:\w+:`", description), name
        assert all(line.strip() == line for line in description.split("\n")), name
