"""Processes of a stack, found by a variable that all of them inherit.

Ray's workers and the drivers of jobs are children of children, and survive a head that was
killed; the variable is the one thing they share.
"""

import time
from pathlib import Path

import psutil

__all__ = ["MARK", "end_leftovers", "find_leftovers"]

MARK = "RAYBOOT_STACK"
"""Holds the stack's folder."""


def find_leftovers(folder: Path) -> list[psutil.Process]:
    """Whatever a stack in that folder started and that still runs; never this process."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.pid != psutil.Process().pid:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            # Gone, or somebody else's.
            continue
    return found


def end_leftovers(folder: Path, patience_s: float = 10.0) -> int:
    """Ends them, newest first, and says how many there were."""
    ended: set[int] = set()
    deadline = time.monotonic() + patience_s
    # Again until none is left: one that is ended may have started another just before.
    while found := find_leftovers(folder):
        for process in sorted(found, key=lambda process: -process.pid):
            ended.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(found, timeout=1.0)
        if time.monotonic() > deadline:
            break
    return len(ended)
