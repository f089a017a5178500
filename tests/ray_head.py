"""A Ray head of its own, with a token, as users start one."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from rayboot.dashboard import ask_dashboard


class Head(NamedTuple):
    """Address of the dashboard, and the environment of those who may use it."""

    address: str
    environment: dict[str, str]


@contextmanager
def start_head(folder: Path, num_cpus: int = 1) -> Iterator[Head]:
    """The head runs until the end of the block; its token and log lie in ``folder``."""
    # Of its own, for names of sockets may not be long.
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    token = folder / "token"
    token.write_text("a" * 64)
    token.chmod(0o600)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    port, dashboard = _free_port(), _free_port()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
        f"--num-cpus={num_cpus}", f"--temp-dir={short}", "--object-store-memory=100000000",
        # Any: another cluster of this machine may have the one that is usual.
        "--dashboard-agent-listen-port=0", "--disable-usage-stats",
    ]  # fmt: skip
    environment = {**os.environ, **auth, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    with open(folder / "head.log", "wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{dashboard}"
            _wait(process, address, folder / "head.log")
            yield Head(address, environment)
        finally:
            _end(process)
            shutil.rmtree(short, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the head and all that it started, each of which has a group of its own."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.kill()
    process.wait()


def _free_port() -> int:
    """Outside of the ports that Ray gives its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not 10002 <= port <= 19999:
            return port


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if ask_dashboard(address).status in (200, 401, 403):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(log.read_text()[-2000:])
