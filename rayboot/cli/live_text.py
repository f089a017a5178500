"""Text that replaces itself in a terminal; elsewhere, the lines of it that are new."""

import shutil
import sys

import click

__all__ = ["LiveText"]

_UP_AND_CLEAR = "\x1b[{}A\x1b[J"
"""Moves the cursor up by some rows and clears everything below."""


class LiveText:
    """What a command shows again and again on stdout.

    Attributes:
        is_terminal: whether the text replaces itself.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._lines: list[str] = []

    def show(self, text: str) -> None:
        """Shows a text of several lines in place of the last one."""
        lines = text.splitlines()
        if self.is_terminal:
            rows = _count_rows(self._lines)
            click.echo((_UP_AND_CLEAR.format(rows) if rows else "") + text)
        else:
            new = [line for line in lines if line not in self._lines]
            for line in new:
                click.echo(line)
        self._lines = lines


def _count_rows(lines: list[str]) -> int:
    """Returns the number of rows that lines fill, long ones several."""
    width = max(1, shutil.get_terminal_size().columns)
    return sum(max(1, -(-len(line) // width)) for line in lines)
