"""A separate Ray head with token authentication, started as users start one."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import psutil
from ray.job_submission import JobSubmissionClient
from ray.util import get_node_ip_address

from rayboot.cluster.dashboard import query_dashboard

NUM_STARTS = 4
"""Attempts to start Ray, whose fixed time-outs are too short while a machine is very busy."""


class Head(NamedTuple):
    """A running head.

    Attributes:
        address: address of the dashboard.
        driver_address: address for drivers.
        environment: environment variables of a process that may use the cluster.
    """

    address: str
    driver_address: str
    environment: dict[str, str]


@contextmanager
def start_head(
    folder: Path,
    num_cpus: int = 1,
    node_types: dict[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    num_gpus: int = 0,
) -> Iterator[Head]:
    """Runs a head within a ``with`` block; its token and log are in ``folder``.

    Args:
        folder: an empty folder.
        num_cpus: number of CPUs of the head itself.
        node_types: types of nodes that Ray's autoscaler adds when they are requested, with
            its provider of nodes on the same machine.
        variables: further environment variables of the cluster's processes.
        num_gpus: number of GPUs that the head declares, whether it has them or not.
    """
    # Not below `folder`, because the paths of sockets must be short.
    temp = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    token = folder / "token"
    token.write_text("a" * 64)
    token.chmod(0o600)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    port, dashboard = _free_port(), _free_port()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
        f"--num-cpus={num_cpus}", f"--num-gpus={num_gpus}",
        f"--temp-dir={temp}", "--object-store-memory=100000000",
        # Any free port: another cluster on this machine may use the default one.
        "--dashboard-agent-listen-port=0", "--disable-usage-stats",
    ]  # fmt: skip
    environment = {**os.environ, **(variables or {}), **auth, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    if node_types is not None:
        config = folder / "autoscaling.json"
        config.write_text(json.dumps(_autoscaling(node_types, num_cpus, port)))
        command.append(f"--autoscaling-config={config}")
        environment |= {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    address = f"http://127.0.0.1:{dashboard}"
    with (folder / "head.log").open("wb") as log:
        process = _start(command, environment, log, address, token.read_text())
        try:
            yield Head(address, f"{get_node_ip_address()}:{port}", environment)
        finally:
            end_node(process)
            shutil.rmtree(temp, ignore_errors=True)


def _start(
    command: list[str], environment: Mapping[str, str], log: BinaryIO, address: str, token: str
) -> subprocess.Popen[bytes]:
    """Returns a head that accepts jobs."""
    for attempt in range(1, NUM_STARTS + 1):
        process = subprocess.Popen(
            command, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_until_ready(process, address, Path(log.name))
            _wait_for_agent(process, address, token)
        except AssertionError:
            end_node(process)
            if attempt == NUM_STARTS:
                raise
        else:
            return process
    raise AssertionError("unreachable")


def _autoscaling(node_types: dict[str, Any], num_cpus: int, port: int) -> dict[str, Any]:
    return {
        "cluster_name": "fake",
        "max_workers": 8,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": f"{get_node_ip_address()}:{port}",
        },
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": num_cpus}, "node_config": {}, "max_workers": 0},
            **{name: {"node_config": {}, **kind} for name, kind in node_types.items()},
        },
        "upscaling_speed": 4,
        "idle_timeout_minutes": 5,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{
            key: []
            for key in (
                "initialization_commands", "setup_commands", "head_setup_commands",
                "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands",
                "cluster_synced_files", "rsync_exclude", "rsync_filter",
            )
        },
        "file_mounts_sync_continuously": False,
    }  # fmt: skip


def end_node(process: subprocess.Popen[bytes]) -> None:
    """Kills a node and its descendants, each of which has its own process group."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.kill()
    process.wait()


def _free_port() -> int:
    """Returns a free port outside the range that Ray uses for its workers."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not 10002 <= port <= 19999:
            return port


def _wait_for_agent(process: subprocess.Popen[bytes], address: str, token: str) -> None:
    """Waits until the node's agent, which starts jobs and may fail to start itself, runs one."""
    client = JobSubmissionClient(address, headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + 90
    while True:
        try:
            client.submit_job(entrypoint="true")
            return
        except (RuntimeError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(str(error)) from error
            time.sleep(0.5)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if query_dashboard(address).status in (200, 401, 403):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(log.read_text()[-2000:])
