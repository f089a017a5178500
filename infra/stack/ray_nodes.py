"""A Ray head and its workers, separate nodes on this machine."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from infra.stack.layout import LOOPBACK, StackLayout
from infra.stack.service import Service, find_http_problem
from rayboot.cluster.session import LOCAL_ENVIRONMENT

__all__ = ["RayHead", "RayWorker"]


class _RayNode(Service):
    # The first start of a node imports all of Ray several times.
    ready_timeout_s: ClassVar[float] = 180.0
    # Ray expects a node to register within 30 s, which can be too short on a busy machine.
    num_restarts: ClassVar[int] = 2
    stop_timeout_s: ClassVar[float] = 30.0
    number: int

    def __init__(
        self, layout: StackLayout, store_mb: int, temp: Path, variables: Mapping[str, str]
    ) -> None:
        super().__init__(layout)
        self.store_mb, self.temp, self.variables = store_mb, temp, variables

    def environment(self) -> Mapping[str, str]:
        """Returns variables for token authentication, without usage reports to Ray."""
        return {
            **LOCAL_ENVIRONMENT,
            **self.variables,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.layout.ray_token),
            "RAY_USAGE_STATS_ENABLED": "0",
            # The interval of Prometheus: otherwise the last metrics of a short job are lost.
            "RAY_metrics_report_interval_ms": "2000",
            # Jobs run the `python` and `rayboot` of this environment.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    @property
    def _folder(self) -> Path:
        return self.temp / self.name

    def _command(self, *options: str) -> list[str]:
        self._folder.mkdir(exist_ok=True)
        ports = self.layout.ports
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *("--dashboard-agent-listen-port", str(ports[f"agent_http_{self.number}"])),
            *("--dashboard-agent-grpc-port", str(ports[f"agent_grpc_{self.number}"])),
            # Any free ports: the nodes of one machine would use the same range.
            *("--min-worker-port", "0", "--max-worker-port", "0"),
            *("--object-store-memory", str(self.store_mb * 2**20)),
            # Nodes with a common folder would unpack the files of a job over each other, and
            # remove the working directory of its driver.
            *("--temp-dir", str(self._folder)),
            "--disable-usage-stats",
            *options,
        ]


class RayHead(_RayNode):
    """The head, which manages the cluster and its jobs, and runs no tasks itself.

    Args:
        layout: layout of the stack.
        store_mb: size of the object store in MiB.
        temp: folder of the sockets and logs of all nodes; its path must be short.
        variables: environment variables of every node, so that jobs need not pass keys.
    """

    name: str = "ray-head"
    number = 0

    def __init__(
        self, layout: StackLayout, store_mb: int, temp: Path, variables: Mapping[str, str]
    ) -> None:
        super().__init__(layout, store_mb, temp, variables)
        self._token = layout.new_secret(layout.ray_token.name)

    @property
    def url(self) -> str:
        """Address of the dashboard and the job API."""
        return self.layout.url("ray_dashboard")

    def address(self) -> str:
        """Returns the address for drivers on this machine, once the head is ready."""
        # This is not 127.0.0.1, because Ray uses the address of the machine.
        return (self._folder / "ray_current_cluster").read_text().strip()

    def command(self) -> list[str]:
        """Returns the command of a head without CPUs and GPUs."""
        # The file of a killed head: Ray considers that head alive while its workers search it.
        (self._folder / "ray_current_cluster").unlink(missing_ok=True)
        ports = self.layout.ports
        return self._command(
            "--head",
            *("--port", str(ports["ray"])),
            *("--ray-client-server-port", str(ports["ray_client"])),
            *("--dashboard-host", LOOPBACK, "--dashboard-port", str(ports["ray_dashboard"])),
            *("--num-cpus", "0", "--num-gpus", "0"),
        )

    def find_problem(self) -> str | None:
        """Returns None when jobs can be submitted."""
        if not (self._folder / "ray_current_cluster").exists():
            return "the head has not written its address"
        return find_http_problem(f"{self.url}/api/jobs/", self._headers())

    def alive_nodes(self) -> set[str]:
        """Returns the ids of the nodes that the head considers alive, including its own.

        The head notices a lost node after a while. If it does not respond, the set is empty.
        """
        url = f"{self.url}/nodes?view=summary"
        # The address is that of the head, http://127.0.0.1:PORT.
        request = urllib.request.Request(url, headers=dict(self._headers()))  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                nodes = json.load(response)["data"]["summary"]
        except (urllib.error.URLError, OSError, KeyError):
            return set()
        raylets = [node["raylet"] for node in nodes]
        return {raylet["nodeId"] for raylet in raylets if raylet.get("state") == "ALIVE"}

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


class RayWorker(_RayNode):
    """A worker node, which runs tasks and actors.

    Args:
        head: head of the cluster, which must be ready.
        number: number of the worker, from 1 on.
        num_cpus: number of CPUs.
        num_gpus: number of GPUs; None for all GPUs of the machine.
    """

    def __init__(self, head: RayHead, number: int, num_cpus: int, num_gpus: int | None) -> None:
        super().__init__(head.layout, head.store_mb, head.temp, head.variables)
        self._head, self.number, self.name = head, number, f"ray-worker-{number}"
        self._num_cpus, self._num_gpus = num_cpus, num_gpus

    def command(self) -> list[str]:
        """Returns the command of a node that joins the head."""
        gpus = [] if self._num_gpus is None else ["--num-gpus", str(self._num_gpus)]
        address, cpus = self._head.address(), str(self._num_cpus)
        return self._command("--address", address, "--num-cpus", cpus, *gpus)

    def find_problem(self) -> str | None:
        """Returns None when the head counts this node; workers start in order of their numbers."""
        num_nodes = len(self._head.alive_nodes())
        return None if num_nodes > self.number else f"the head counts {num_nodes} nodes"
