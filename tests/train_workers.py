"""Loss of training workers: a thread kills one in the middle of a run."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


@contextlib.contextmanager
def killing_worker(checkpoints: Path, num_checkpoints: int) -> Iterator[list[int]]:
    """Kills one training worker once the folder has so many checkpoints; yields its process id."""
    killed: list[int] = []
    ended = threading.Event()
    thread = threading.Thread(
        target=_kill_worker, args=(checkpoints, num_checkpoints, killed, ended)
    )
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def _kill_worker(
    checkpoints: Path, num_checkpoints: int, killed: list[int], ended: threading.Event
) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not killed and not ended.is_set():
        if len(list(checkpoints.glob("checkpoint_*/"))) >= num_checkpoints:
            for process in _train_workers()[:1]:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
        time.sleep(0.02)


def _train_workers() -> list[int]:
    """Returns the training workers of this process's own cluster, not others on the machine."""
    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if "RayTrainWorker" in _command_line(child)
    ]


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
