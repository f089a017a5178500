"""The local stack, whose parts are lost and come back."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.stack.service import Service
from infra.stack.stack import Stack
from tests.s3 import free_ports

__all__ = [
    "bring_back",
    "bring_ray_back",
    "bring_worker_back",
    "lose",
    "running_redis",
    "small_disk",
    "user_environment",
    "wait_until",
]

NUM_NODES = 3


def user_environment(stack: Stack) -> dict[str, str]:
    """Of a shell from which jobs are submitted."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_", "MLFLOW_"))}
    return {**clean, **stack.variables()}


def lose(service: Service) -> None:
    """Ends a service as a lost machine does: it and all that it started, at once, unasked."""
    assert service.pid is not None and service.exit_status() is None, f"{service.name} does not run"
    first = psutil.Process(service.pid)
    family = [first, *first.children(recursive=True)]
    # Stopped first, so that none starts another, or tells anybody, while they are killed.
    for what in (signal.SIGSTOP, signal.SIGKILL):
        for member in family:
            try:
                member.send_signal(what)
            except psutil.NoSuchProcess:
                continue
    service.stop()


def bring_back(service: Service) -> None:
    """Starts a service again; returns when it is ready."""
    service.start()
    service.wait()


def bring_worker_back(stack: Stack, number: int) -> None:
    """Another node in place of a lost one, which the head may still believe to be there."""
    before = stack.head.alive_nodes()
    stack.workers[number].start()
    wait_until("a new node", lambda: bool(stack.head.alive_nodes() - before), 180)


def bring_ray_back(stack: Stack) -> None:
    """The head again, at the address that it had, and new workers instead of those it forgot."""
    for worker in stack.workers:
        if worker.pid is not None and worker.exit_status() is None:
            lose(worker)
        worker.stop()
    for node in (stack.head, *stack.workers):
        bring_back(node)


def wait_for_all_nodes(stack: Stack) -> None:
    """Until the head knows all nodes, and believes in no others."""
    wait_until("all nodes", lambda: len(stack.head.alive_nodes()) == NUM_NODES, 180)


def wait_until(what: str, condition: Callable[[], bool], within_s: float) -> None:
    """Returns when ``condition`` is true, which is looked at three times a second."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.3)


@contextmanager
def running_redis(folder: Path) -> Iterator[dict[str, str]]:
    """Redis for the time of a ``with`` block; yields what tells a head to remember there."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("no program `redis-server`; apt-get install redis-server")
    (port,) = free_ports(1)
    config = folder / "redis.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\ndir {folder}\nsave ''\n")
    with open(folder / "redis.log", "wb") as log:
        process = subprocess.Popen([program, str(config)], stdout=log, stderr=log)
    try:
        yield {"RAY_REDIS_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait()


class SmallDisk:
    """A file system of its own, which can be filled up and freed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, leave: int = 0) -> None:
        """Leaves so many bytes."""
        free = shutil.disk_usage(self.folder).free
        with open(self.folder / "ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - leave))

    def free(self) -> None:
        """Gives back what filled it."""
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk at ``folder`` for the time of a ``with`` block; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
