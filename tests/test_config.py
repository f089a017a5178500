from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, PositiveInt, ValidationError

from rayboot.config import FrozenConfig, load_config, parse_config
from rayboot.errors import RequestError


class InnerConfig(FrozenConfig):
    depth: PositiveInt = 3


class OuterConfig(FrozenConfig):
    name: str
    """Name of the run."""
    seed: int = 0
    inner: InnerConfig = InnerConfig()


def test_values_are_immutable() -> None:
    config = OuterConfig(name="a")
    with pytest.raises(ValidationError):
        config.seed = 1  # type: ignore[misc]


def test_digest_depends_on_values_alone() -> None:
    config = OuterConfig(name="a", seed=0)
    assert len(config.digest()) == 64
    assert config.digest() == OuterConfig(seed=0, name="a", inner=InnerConfig(depth=3)).digest()
    assert config.digest() != config.replace(seed=1).digest()
    assert config.digest() != config.replace(inner=InnerConfig(depth=4)).digest()


def test_replace_validates() -> None:
    config = OuterConfig(name="a")
    changed = config.replace(seed=7)
    assert (changed.name, changed.seed, config.seed) == ("a", 7, 0)
    with pytest.raises(ValidationError):
        config.replace(inner={"depth": 0})
    with pytest.raises(ValidationError):
        config.replace(sead=7)


def test_docstrings_of_fields_describe_them() -> None:
    assert OuterConfig.model_fields["name"].description == "Name of the run."


def test_load_config_reads_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: a\ninner:\n  depth: 5\n")
    assert load_config(OuterConfig, path) == OuterConfig(name="a", inner=InnerConfig(depth=5))


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("")
    assert load_config(InnerConfig, path) == InnerConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nsead: 1\n", ["sead", "unknown key, did you mean seed?", "inner, name, seed"]),
        ("name: a\ninner: {depth: 0}\n", ["inner.depth", "greater than 0"]),
        ("seed: 1\n", ["name", "required"]),
        ("- name\n", ["expected a mapping", "list"]),
        ("name: [a\n", ["not valid YAML"]),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        load_config(OuterConfig, path)
    message = str(caught.value)
    assert "\n" not in message
    for word in [str(path), *words]:
        assert word in message


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_an_unreadable_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(RequestError, match=r"run\.yaml"):
        load_config(OuterConfig, path)


def test_parse_config_names_its_source() -> None:
    with pytest.raises(RequestError, match="defaults of the demo"):
        parse_config(OuterConfig, None, source="defaults of the demo")


@pytest.mark.parametrize("text", ["s: http://me:hunter2@host", "nested: {a: ['s3://k:hunter2@b']}"])
def test_a_login_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    class AnyTextConfig(FrozenConfig):
        s: str = ""
        nested: dict[str, Any] = Field(default_factory=dict)

    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match="password or token") as refused:
        load_config(AnyTextConfig, path)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(RequestError):
        AnyTextConfig().replace(s="http://me:hunter2@host")


def test_a_wrong_value_is_not_repeated() -> None:
    class NumberConfig(FrozenConfig):
        n: int = 0

    with pytest.raises(ValidationError) as refused:
        NumberConfig(n="hunter2")
    assert "hunter2" not in str(refused.value)
