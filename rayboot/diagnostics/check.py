"""The outcome of a check, and the child process that risky checks run in."""

import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import rayboot
from rayboot.credentials import redact_url_credentials

__all__ = ["Check", "format_check", "install_remedy", "is_clone", "last_line", "run_in_subprocess"]

_MAX_LINE_CHARS = 300


class Check(NamedTuple):
    """The outcome of one check; ``remedy`` is empty where there is nothing to do."""

    name: str
    status: Literal["ok", "note", "FAIL"]
    detail: str
    remedy: str = ""


def format_check(check: Check, width: int = 14) -> str:
    """Returns one line, with the remedy on a second one; names are padded to ``width``."""
    line = redact_url_credentials(f"{check.status:<4}  {check.name:<{width}}  {check.detail}")
    return f"{line}\n{'':<{width + 8}}-> {check.remedy}" if check.remedy else line


def is_clone() -> bool:
    """Whether rayboot runs from a clone, whose Makefile prepares the environment."""
    return (Path(rayboot.__file__).parents[1] / "infra/install.sh").is_file()


def install_remedy(in_clone: str) -> str:
    """Returns what installs a package that is missing or broken, given the command in a clone."""
    return in_clone if is_clone() else "pip install --upgrade --force-reinstall rayboot"


def run_in_subprocess(code: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a child process: a driver may crash, a cluster may never answer.

    Args:
        code: source text.
        timeout_s: time after which the child is killed; its exit status is then 124.
    """
    try:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 124, "", f"no answer in {timeout_s:.0f} s")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the last line that a failed child wrote to stderr, usually the exception."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    return lines[-1][:_MAX_LINE_CHARS] if lines else f"exit status {done.returncode}"
