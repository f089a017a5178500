"""Failing and restarting parts of the local stack."""

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
    "kill",
    "replace_worker",
    "restart",
    "restart_ray",
    "running_redis",
    "small_disk",
    "user_environment",
    "wait_for_all_nodes",
    "wait_until",
]

NUM_NODES = 3


def user_environment(stack: Stack) -> dict[str, str]:
    """Returns the environment of a shell from which jobs are submitted."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_", "MLFLOW_"))}
    return {**clean, **stack.variables()}


def kill(service: Service) -> None:
    """Kills a service and all its child processes at once, as when its machine fails."""
    assert service.pid is not None and service.exit_status() is None, f"{service.name} does not run"
    root = psutil.Process(service.pid)
    processes = [root, *root.children(recursive=True)]
    # Stopped first, so that none starts another or notifies a peer while they are killed.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
    service.stop()


def restart(service: Service) -> None:
    """Starts a killed service again; returns when it is ready."""
    service.start()
    service.wait()


def replace_worker(stack: Stack, number: int) -> None:
    """Starts a node in place of a lost one, which the head may still consider alive."""
    before = stack.head.alive_nodes()
    stack.workers[number].start()
    wait_until("a new node", lambda: bool(stack.head.alive_nodes() - before), 180)


def restart_ray(stack: Stack) -> None:
    """Restarts the head at its former address, and replaces the workers, which it has forgotten."""
    for worker in stack.workers:
        if worker.pid is not None and worker.exit_status() is None:
            kill(worker)
        worker.stop()
    for node in (stack.head, *stack.workers):
        restart(node)


def wait_for_all_nodes(stack: Stack) -> None:
    """Waits until the head considers exactly the running nodes alive."""
    wait_until("all nodes", lambda: len(stack.head.alive_nodes()) == NUM_NODES, 180)


def wait_until(what: str, condition: Callable[[], bool], within_s: float) -> None:
    """Returns when ``condition`` is true; it is checked three times a second."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.3)


@contextmanager
def running_redis(folder: Path) -> Iterator[dict[str, str]]:
    """Runs Redis during a ``with`` block; yields variables that make a head store state there."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("the program redis-server is not installed; apt-get install redis-server")
    (port,) = free_ports(1)
    config = folder / "redis.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\ndir {folder}\nsave ''\n")
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, str(config)], stdout=log, stderr=log)
    try:
        yield {"RAY_REDIS_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait()


class SmallDisk:
    """A separate file system, which can be filled and freed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, leave: int = 0) -> None:
        """Fills the disk up to ``leave`` free bytes."""
        free = shutil.disk_usage(self.folder).free
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - leave))

    def free(self) -> None:
        """Frees what :meth:`fill` has used."""
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounts a small disk at ``folder`` during a ``with`` block; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
