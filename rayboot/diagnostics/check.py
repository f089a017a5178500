"""The outcome of a check, and the child process that dangerous ones run in."""

import subprocess
import sys
from typing import Literal, NamedTuple

from rayboot.credentials import redact_url_credentials

__all__ = ["Check", "format_check", "last_line", "run_in_subprocess"]


class Check(NamedTuple):
    """The outcome of one check; ``remedy`` is empty where there is nothing to do."""

    name: str
    status: Literal["ok", "note", "FAIL"]
    detail: str
    remedy: str = ""


def format_check(check: Check, width: int = 14) -> str:
    """One line for people, and the remedy under it; names are filled to ``width``."""
    line = redact_url_credentials(f"{check.status:<4}  {check.name:<{width}}  {check.detail}")
    return f"{line}\n{'':<{width + 8}}-> {check.remedy}" if check.remedy else line


def run_in_subprocess(code: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Runs Python code apart: a driver may crash, a cluster may never answer."""
    try:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 124, "", f"no answer in {timeout_s:.0f} s")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed child said last, usually the exception."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    return lines[-1][:300] if lines else f"exit status {done.returncode}"
