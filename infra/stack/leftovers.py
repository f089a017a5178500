"""Processes of a stack, found by an environment variable that all of them inherit.

Ray's workers and the drivers of jobs are indirect children, and survive a head that was
killed; the variable is the only thing that they have in common.
"""

import time
from pathlib import Path

import psutil

__all__ = ["STACK_VARIABLE", "end_leftovers", "find_leftovers"]

STACK_VARIABLE = "RAYBOOT_STACK"
"""Environment variable that contains the folder of the stack."""


def find_leftovers(folder: Path) -> list[psutil.Process]:
    """Returns the running processes of the stack in a folder, without this process."""
    leftovers = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(STACK_VARIABLE) == str(folder)
                and process.pid != psutil.Process().pid
            ):
                leftovers.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            # The process ended, or belongs to another user.
            continue
    return leftovers


def end_leftovers(folder: Path, timeout_s: float = 10.0) -> int:
    """Kills the processes of the stack in a folder, newest first, and returns their number."""
    killed: set[int] = set()
    deadline = time.monotonic() + timeout_s
    # Repeated until none is left: a process may start another one before it is killed.
    while leftovers := find_leftovers(folder):
        for process in sorted(leftovers, key=lambda process: -process.pid):
            killed.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(leftovers, timeout=1.0)
        if time.monotonic() > deadline:
            break
    return len(killed)
