"""Blocks of code on the pages of the docs, for tests that run them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from rayboot.cli import main

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^>]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A block of shell or Python; ``reason`` says why it cannot run, where it cannot."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def find_blocks(path: Path) -> Iterator[Block]:
    """Yields the blocks of shell and Python of a page, in their order."""
    content = path.read_text("utf-8")
    for match in _BLOCK.finditer(content):
        if match["language"] in ("sh", "bash", "python"):
            line = content.count("\n", 0, match.start("language")) + 1
            indent = len(match["indent"])
            text = "".join(row[indent:] or "\n" for row in match["text"].splitlines(keepends=True))
            page = str(path.relative_to(ROOT))
            yield Block(page, line, match["language"], text, match["reason"])


def commands_of(text: str) -> list[list[str]]:
    """The calls of rayboot in lines of shell, as words; what the shell replaces is one word."""
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"\$\([^()]*\)", "X", text)
    return [command for line in text.splitlines() for command in _commands_of_line(line)]


def _commands_of_line(line: str) -> Iterator[list[str]]:
    words = _split(line)
    for start, word in enumerate(words):
        before = words[start - 1] if start else "&&"
        is_first = re.fullmatch(r"&&|\|\|?|;|\(|time|sudo|exec|[A-Z_]+=.*", before)
        if re.fullmatch(r"(.*/bin/)?rayboot", word) and is_first:
            end = next(
                (i for i in range(start, len(words)) if re.fullmatch(r"[|&;<>()]+", words[i])),
                len(words),
            )
            arguments = words[start + 1 : end]
            # In `2> log`, the number belongs to the sign.
            if end < len(words) and words[end].startswith(">") and arguments[-1] == "2":
                arguments.pop()
            yield arguments


def _split(line: str) -> list[str]:
    """Splits a line of shell into words, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def run_blocks(
    blocks: list[Block],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    replacements: Mapping[str, str] | None = None,
    in_process: bool = False,
) -> dict[str, Any]:
    """Runs blocks as a reader would, one after the other, in a folder; prints what they print.

    Args:
        blocks: the blocks, in the order of the page.
        folder: where they run.
        monkeypatch: restores the folder of the process.
        replacements: texts of the page that name what is the reader's own, such as an address,
            and what stands there in the test. Each must occur.
        in_process: runs lines that are one command of rayboot in this process, which spares
            each of them the start of Python, and lets them use the Ray that this process has.

    Returns:
        The names that the blocks of Python have defined.
    """
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": _search_path(folder)}
    for text in replacements or {}:
        assert any(text in block.text for block in blocks), f"{text!r} is in no block"
    for block in blocks:
        for old, new in (replacements or {}).items():
            block = block._replace(text=block.text.replace(old, new))
        if block.language == "python":
            # Lines of errors are those of the page.
            source = "\n" * block.line + block.text
            exec(compile(source, block.page, "exec"), names)  # noqa: S102
        elif in_process and all(map(_is_one_command, block.text.splitlines())):
            for arguments in commands_of(block.text):
                done = CliRunner().invoke(main, arguments)
                assert done.exit_code == 0, f"{block.place}\n{done.output}{done.exception!r}"
                print(done.stdout)
        else:
            shell = ["bash", "-euo", "pipefail", "-c", block.text]
            ended = subprocess.run(
                shell, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, f"{block.place}\n{ended.stdout}{ended.stderr}"
            print(ended.stdout)
    return names


def _is_one_command(line: str) -> bool:
    """Whether a line is a call of rayboot, and nothing that only a shell understands."""
    words = _split(line)
    return words[:1] == ["rayboot"] and not any(re.search(r"[|&;<>()$*`]", word) for word in words)


def _search_path(folder: Path) -> str:
    """PATH on which `rayboot` is the code that is tested, and `python` its interpreter."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    command = tools / "rayboot"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rayboot "$@"\n')
    command.chmod(0o755)
    return f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
