"""A Ray head and its workers, each a node of its own on this machine."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from infra.stack.layout import LOOPBACK, Place
from infra.stack.service import Service, http_problem
from rayboot.cluster.session import LOCAL_ENVIRONMENT

__all__ = ["RayHead", "RayWorker"]


class _RayNode(Service):
    # A node's first start imports all of Ray several times.
    ready_within_s: ClassVar[float] = 180.0
    # Ray gives a node 30 s to make itself known, which a busy machine may need longer for.
    more_starts: ClassVar[int] = 2
    ends_within_s: ClassVar[float] = 30.0
    number: int

    def __init__(self, place: Place, store_mb: int, temp: Path, known: Mapping[str, str]) -> None:
        super().__init__(place)
        self.store_mb, self.temp, self.known = store_mb, temp, known

    def environment(self) -> Mapping[str, str]:
        """Whoever has no token is refused; nothing is reported to anybody."""
        return {
            **LOCAL_ENVIRONMENT,
            **self.known,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.place.ray_token),
            "RAY_USAGE_STATS_ENABLED": "0",
            # As often as Prometheus asks: a short job's last figures are gone with it.
            "RAY_metrics_report_interval_ms": "2000",
            # Jobs say `python` and `rayboot`, and mean this environment's.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    @property
    def _folder(self) -> Path:
        return self.temp / self.name

    def _command(self, *options: str) -> list[str]:
        self._folder.mkdir(exist_ok=True)
        ports = self.place.ports
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *("--dashboard-agent-listen-port", str(ports[f"agent_http_{self.number}"])),
            *("--dashboard-agent-grpc-port", str(ports[f"agent_grpc_{self.number}"])),
            # Any free ones: nodes of one machine would want the same range.
            *("--min-worker-port", "0", "--max-worker-port", "0"),
            *("--object-store-memory", str(self.store_mb * 2**20)),
            # Nodes that share a folder unpack a job's files over each other's: its driver's
            # working directory would vanish under it.
            *("--temp-dir", str(self._folder)),
            "--disable-usage-stats",
            *options,
        ]


class RayHead(_RayNode):
    """Knows the cluster, takes jobs, and computes nothing itself.

    Args:
        place: of the stack.
        store_mb: size of its object store.
        temp: folder of all nodes' sockets and logs; its path must be short.
        known: variables that every node has, so that no job needs to bring keys along.
    """

    name: str = "ray-head"
    number = 0

    def __init__(self, place: Place, store_mb: int, temp: Path, known: Mapping[str, str]) -> None:
        super().__init__(place, store_mb, temp, known)
        self._token = place.new_secret(place.ray_token.name)

    @property
    def url(self) -> str:
        """Of the dashboard and of the job API."""
        return self.place.url("ray_dashboard")

    def address(self) -> str:
        """Of the cluster for drivers on this machine; known once the head is ready."""
        # The head does not stay at 127.0.0.1: Ray takes the machine's own address.
        return (self._folder / "ray_current_cluster").read_text().strip()

    def command(self) -> list[str]:
        """A head that leaves CPUs and GPUs to its workers."""
        # Of one that was killed: while its workers look for it, Ray takes it for alive.
        (self._folder / "ray_current_cluster").unlink(missing_ok=True)
        ports = self.place.ports
        return self._command(
            "--head",
            *("--port", str(ports["ray"])),
            *("--ray-client-server-port", str(ports["ray_client"])),
            *("--dashboard-host", LOOPBACK, "--dashboard-port", str(ports["ray_dashboard"])),
            *("--num-cpus", "0", "--num-gpus", "0"),
        )

    def problem(self) -> str | None:
        """It is ready when jobs can be submitted."""
        if not (self._folder / "ray_current_cluster").exists():
            return "the head has not written its address"
        return http_problem(f"{self.url}/api/jobs/", self._headers())

    def alive_nodes(self) -> set[str]:
        """Ids of the nodes that it believes to be up, itself among them.

        It takes a while to notice that one is lost. Without an answer: none.
        """
        request = urllib.request.Request(
            f"{self.url}/nodes?view=summary", headers=dict(self._headers())
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                nodes = json.load(answer)["data"]["summary"]
        except (urllib.error.URLError, OSError, KeyError):
            return set()
        raylets = [node["raylet"] for node in nodes]
        return {raylet["nodeId"] for raylet in raylets if raylet.get("state") == "ALIVE"}

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


class RayWorker(_RayNode):
    """Where the work is done.

    Args:
        head: that it joins, ready.
        number: 1, 2, ...
        num_cpus: that it offers.
        num_gpus: likewise; None: all of the machine.
    """

    def __init__(self, head: RayHead, number: int, num_cpus: int, num_gpus: int | None) -> None:
        super().__init__(head.place, head.store_mb, head.temp, head.known)
        self._head, self.number, self.name = head, number, f"ray-worker-{number}"
        self._num_cpus, self._num_gpus = num_cpus, num_gpus

    def command(self) -> list[str]:
        """A node that joins the head."""
        gpus = [] if self._num_gpus is None else ["--num-gpus", str(self._num_gpus)]
        address, cpus = self._head.address(), str(self._num_cpus)
        return self._command("--address", address, "--num-cpus", cpus, *gpus)

    def problem(self) -> str | None:
        """It is ready when the head counts it; workers are waited for in order."""
        found = len(self._head.alive_nodes())
        return None if found > self.number else f"the head counts {found} nodes"
