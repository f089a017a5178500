import os
import pty
import sys

import pytest

from rayboot.cli.live_text import LiveText


def test_elsewhere_only_new_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    display = LiveText()
    assert not display.is_terminal
    for text in ("round 1\n  generate to do", "round 1\n  generate to do", "round 1\n  done"):
        display.show(text)
    assert capsys.readouterr().out == "round 1\n  generate to do\n  done\n"


def test_in_a_terminal_the_text_replaces_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        display = LiveText()
        assert display.is_terminal
        display.show("one\n" + 15 * "x")
        display.show("two")
        terminal.flush()
        # A terminal may give what was written in several parts.
        shown = ""
        while "two" not in shown or not shown.endswith("\n"):
            shown += os.read(reader, 1000).decode().replace("\r\n", "\n")
    os.close(reader)
    # The long line fills two rows.
    assert shown == "one\n" + 15 * "x" + "\n\x1b[3A\x1b[Jtwo\n"
