"""The help of every command: whole sentences, defaults, and an example that the parser accepts."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from rayboot.cli import main


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Names of all commands, those of groups within groups included."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


COMMANDS = sorted(walk(main))


def find(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


def help_of(path: tuple[str, ...]) -> str:
    done = CliRunner().invoke(main, [*path, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def joined(text: str) -> str:
    """A text without the line breaks of the layout; click breaks words at hyphens as well."""
    return re.sub(r"-\s+", "-", " ".join(text.split()))


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_no_sentence_is_cut(path: tuple[str, ...]) -> None:
    command, text = find(path), help_of(path)
    assert all(len(line) <= 80 for line in text.splitlines())
    ellipses = re.findall(r"\S*\.\.\.", text)
    assert set(ellipses) <= {"[ARGS]...", "[ARGUMENTS]...", "N[,N..."}, ellipses
    assert (command.help or "").strip().endswith(".")
    listed = command.commands.values() if isinstance(command, click.Group) else ()
    for inner in listed:
        first = (inner.help or "").split("\n\n")[0]
        assert joined(first) in joined(text), inner.name


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_a_sentence_with_its_default(path: tuple[str, ...]) -> None:
    text = joined(help_of(path))
    for option in find(path).params:
        if not isinstance(option, click.Option):
            continue
        assert option.help is not None and option.help.endswith("."), option.name
        assert joined(option.help) in text, option.name
        if not option.is_flag:
            part = text.split(joined(option.help))[1]
            assert re.match(r" \[(required|default: )", part), (option.name, part[:60])


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_the_example_is_a_valid_command(path: tuple[str, ...]) -> None:
    (example,) = re.findall(r"\n\n  Example:\n    (.*)\n\Z", help_of(path))
    (command,) = re.findall(r"rayboot [^>)]*", example)
    name, *arguments = shlex.split(command)
    # Parses what the shell would pass on, and runs nothing.
    context = main.make_context(name, arguments)
    inner: click.Command = main
    while isinstance(inner, click.Group):
        called, inner, arguments = inner.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert called is not None and inner is not None
        context = inner.make_context(called, arguments, parent=context)
    assert tuple(command.split()[1 : 1 + len(path)]) == path


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["recontruct"], "reconstruct"),
        (["configs", "shwo"], "show"),
        (["reconstruct", "--imput", "a.jpg"], "--input"),
        (
            ["reconstruct", "--input", "a.jpg", "--output", "o", "--model", "builtin:bsae"],
            "builtin:base",
        ),
        (["round", "--config", "round-photo"], "round-photos"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(arguments: list[str], meant: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert re.search(f"(?i)did you mean.*{meant}", done.stderr), done.stderr
