"""The page of the command line, from the commands themselves.

Usage, help, options and example of each command are those that ``rayboot COMMAND --help`` prints.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from rayboot.cli import main

__all__ = ["describe_commands"]

_INTRODUCTION = Path(__file__).with_name("cli.introduction.md")

_EXAMPLE = re.compile(r"\s*\x08\s*\nExample:\n(.*)\Z", re.DOTALL)


def describe_commands() -> str:
    """Returns the page as Markdown: the program's own options, then a section for each command."""
    root = click.Context(main, info_name="rayboot", **main.context_settings)
    parts = [
        _INTRODUCTION.read_text("utf-8"),
        _list_commands(root),
        "## Options of every command\n",
    ]
    parts.append("They are written before the command: `rayboot --debug generate ...`.\n")
    parts.append(_describe_options(root))
    parts += [_describe_command(context) for context in _walk(root)]
    return "\n".join(part for part in parts if part)


def _walk(parent: click.Context) -> Iterator[click.Context]:
    """Yields the context of every command that is not hidden, groups before their commands."""
    assert isinstance(parent.command, click.Group)
    for name, command in parent.command.commands.items():
        if command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        yield context
        if isinstance(command, click.Group):
            yield from _walk(context)


def _list_commands(root: click.Context) -> str:
    rows = ["| command | what it does |", "|---|---|"]
    for context in _walk(root):
        name = _name_of(context)
        summary = _as_cell((context.command.help or "").split("\n\n")[0])
        rows.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {summary} |")
    return "\n".join(rows) + "\n"


def _name_of(context: click.Context) -> str:
    return context.command_path.removeprefix("rayboot ")


def _describe_command(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {_name_of(context)}\n", f"```text\n{usage}\n```\n"]
    parts += [f"{_escape(' '.join(text.split()))}\n" for text in (command.help or "").split("\n\n")]
    parts.append(_describe_options(context))
    found = _EXAMPLE.search(command.epilog or "")
    if found is not None:
        lines = "\n".join(line.strip() for line in found[1].strip().splitlines())
        parts.append(f"```sh\n{lines}\n```\n")
    return "\n".join(part for part in parts if part)


def _describe_options(context: click.Context) -> str:
    rows = []
    for option in context.command.params:
        if not isinstance(option, click.Option) or option.hidden or option.help is None:
            continue
        rows.append(f"| {_names_of(option, context)} | {_default_of(option, context)} | ")
        rows[-1] += f"{_as_cell(option.help)} |"
    if not rows:
        return ""
    return "\n".join(["| option | default | what it says |", "|---|---|---|", *rows]) + "\n"


def _names_of(option: click.Option, context: click.Context) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag or option.count else " " + option.make_metavar(context)
    return ", ".join(f"`{name}{value}`" for name in names).replace("|", "\\|")


def _default_of(option: click.Option, context: click.Context) -> str:
    if option.required:
        return "required"
    text = option.get_help_extra(context).get("default")
    if option.is_flag or text is None:
        return ""
    # A sentence such as "(no limit)" stays one; a value is code.
    return _as_cell(text.strip("()") if text.startswith("(") else f"`{text}`")


def _as_cell(text: str) -> str:
    return _escape(" ".join(text.split())).replace("|", "\\|")


def _escape(text: str) -> str:
    """Returns a text in which nothing but its code is markup."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([<>*_\[\]])", r"\\\1", part) for part in parts
    )
