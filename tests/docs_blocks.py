"""Blocks of code on the pages of the docs, for tests that run them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

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


def run_blocks(
    blocks: list[Block], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Runs blocks as a reader would, one after the other, in a folder.

    Returns:
        The names that the blocks of Python have defined.
    """
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    # `rayboot` is the command of the code that is tested.
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    command = tools / "rayboot"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rayboot "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tools}:{os.environ['PATH']}"}
    for block in blocks:
        if block.language == "python":
            # Lines of errors are those of the page.
            source = "\n" * block.line + block.text
            exec(compile(source, block.page, "exec"), names)  # noqa: S102
        else:
            shell = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(
                shell, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"
    return names
