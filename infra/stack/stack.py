"""All services of the stack, started in groups and stopped in the opposite order."""

import fcntl
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from infra.stack.database import Database
from infra.stack.errors import StackError
from infra.stack.layout import StackLayout, create_layout
from infra.stack.leftovers import end_leftovers
from infra.stack.object_store import ObjectStore
from infra.stack.prometheus import Prometheus
from infra.stack.ray_nodes import RayHead, RayWorker
from infra.stack.service import Service
from infra.stack.tracking import Login, Tracking

__all__ = ["Stack", "StackSettings", "running_stack"]


class StackSettings(NamedTuple):
    """Settings of a stack.

    Attributes:
        folder: folder of data, logs and secrets.
        first_port: lowest port; None for the usual ports of the services, where free.
        worker_cpus: number of CPUs of each of the two workers; None for half of the cores
            of the machine, but at least 3.
        store_mb: size of the object store of each node in MiB.
        with_prometheus: whether metrics are collected.
    """

    folder: Path
    first_port: int | None = None
    worker_cpus: int | None = None
    store_mb: int = 400
    with_prometheus: bool = True

    def cpus(self) -> int:
        """Returns the CPUs of a worker, which may be more than cores: reading mostly waits."""
        return self.worker_cpus or max(3, len(os.sched_getaffinity(0)) // 2)


class Stack:
    """The services of a stack, which are not started yet.

    Args:
        layout: layout of the stack.
        temp: folder of Ray's sockets and logs.
        settings: settings of the stack.
    """

    def __init__(self, layout: StackLayout, temp: Path, settings: StackSettings) -> None:
        self.layout = layout
        self.store = ObjectStore(layout)
        self.login = Login(layout)
        variables = {
            **self.store.variables,
            **self.login.variables,
            "MLFLOW_TRACKING_URI": layout.url("mlflow"),
        }
        self.head = RayHead(layout, settings.store_mb, temp, variables)
        # Prometheus may not be installed, which is reported before the database is prepared.
        self.prometheus = Prometheus(self.head) if settings.with_prometheus else None
        self.database = Database(layout)
        self.tracking = Tracking(layout, self.database, self.store, self.login)
        cpus = settings.cpus()
        # One worker has all GPUs of the machine: two workers would use the same ones.
        self.workers = [
            RayWorker(self.head, number, cpus, num_gpus) for number, num_gpus in ((1, None), (2, 0))
        ]

    @property
    def groups(self) -> list[list[Service]]:
        """Services in groups; each needs only services of the groups before."""
        metrics = [] if self.prometheus is None else [self.prometheus]
        # The workers start one after the other, because a start uses two cores.
        return [
            [self.store, self.database, self.head],
            [self.tracking, self.workers[0]],
            [self.workers[1], *metrics],
        ]

    @property
    def services(self) -> list[Service]:
        """All services in the order of their start."""
        return [service for group in self.groups for service in group]

    def start(self, report: Callable[[str], None]) -> None:
        """Starts all services and reports each one that is ready."""
        for group in self.groups:
            for service in group:
                service.start()
            for service in group:
                service.wait()
                report(f"{service.name} is ready")

    def stop(self) -> None:
        """Stops all services, the last started first."""
        for service in reversed(self.services):
            service.stop()

    def find_ended_service(self) -> Service | None:
        """Returns a service that ended by itself; None if all run."""
        return next(
            (service for service in self.services if service.exit_status() is not None), None
        )

    def variables(self) -> dict[str, str]:
        """Returns the variables with which a process can use the services; some are secret."""
        return {
            "RAY_ADDRESS": self.head.address(),
            # For `ray job`; RAY_ADDRESS is for drivers on this machine.
            "RAY_API_SERVER_ADDRESS": self.head.url,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.layout.ray_token),
            **self.head.variables,
        }

    def exports(self) -> dict[str, str]:
        """Returns the variables in shell syntax; secrets are read from their files."""
        files = self.store.secret_files | self.login.secret_files
        secrets = {name: f'"$(cat {shlex.quote(str(path))})"' for name, path in files.items()}
        return {name: shlex.quote(value) for name, value in self.variables().items()} | secrets

    def addresses(self) -> dict[str, str]:
        """Returns the addresses for a browser by name."""
        pages = {"Ray": self.head.url, "MLflow": self.tracking.uri, "S3": self.layout.url("s3")}
        if self.prometheus is not None:
            pages["Prometheus"] = self.prometheus.url
        return pages


@contextmanager
def running_stack(settings: StackSettings, report: Callable[[str], None]) -> Iterator[Stack]:
    """Runs a stack within a ``with`` block, and stops all its processes afterwards.

    Args:
        settings: settings of the stack.
        report: called with lines of text about the progress.

    Raises:
        StackError: another stack runs in that folder, or a service does not start.
    """
    layout = create_layout(settings.folder, settings.first_port)
    with _lock_folder(layout), _node_folder(layout) as temp:
        if count := end_leftovers(layout.folder):
            report(f"killed {count} processes of an earlier stack")
        stack = Stack(layout, temp, settings)
        try:
            stack.start(report)
            yield stack
        finally:
            report("stopping")
            stack.stop()
            end_leftovers(layout.folder)


@contextmanager
def _lock_folder(layout: StackLayout) -> Iterator[None]:
    """Holds a lock on the folder, which the system releases when this process ends."""
    with (layout.folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"a stack runs in {layout.folder} already, process {lock.read().strip()}; use it, "
                "stop it with Ctrl-C, or start this one with another --folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def _node_folder(layout: StackLayout) -> Iterator[Path]:
    """Yields a folder for the sockets and logs of Ray's nodes; the logs are kept afterwards."""
    note = layout.folder / "node-folder"
    if note.exists():
        # The folder of a stack that was killed.
        shutil.rmtree(note.read_text(), ignore_errors=True)
    # Not below the folder of the stack: the path of a socket has at most 107 characters.
    temp = Path(tempfile.mkdtemp(prefix="rayboot-"))
    note.write_text(str(temp))
    try:
        yield temp
    finally:
        kept = layout.log("ray").with_suffix("")
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        # A restarted node has several sessions; the logs of the last one have the plain name.
        for logs in sorted(temp.glob("*/session_2*/logs"), reverse=True):
            node, session = logs.parts[-3:-1]
            again = (kept / node).exists()
            shutil.move(logs, kept / (f"{node}-{session}" if again else node))
        shutil.rmtree(temp, ignore_errors=True)
        note.unlink()
