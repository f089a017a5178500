"""All services together: started in waves, ended in the opposite order."""

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
from infra.stack.layout import Place, make_place
from infra.stack.leftovers import end_leftovers
from infra.stack.object_store import ObjectStore
from infra.stack.prometheus import Prometheus
from infra.stack.ray_nodes import RayHead, RayWorker
from infra.stack.service import Service
from infra.stack.tracking import Login, Tracking

__all__ = ["Stack", "StackSettings", "running_stack"]


class StackSettings(NamedTuple):
    """How large a stack is.

    Attributes:
        folder: of everything.
        first_port: all ports from here; None: well-known ones where they are free.
        worker_cpus: that each of the two workers offers; None: half of the machine's, at
            least 3.
        store_mb: object store of each node.
        with_prometheus: whether figures are kept.
    """

    folder: Path
    first_port: int | None = None
    worker_cpus: int | None = None
    store_mb: int = 400
    with_prometheus: bool = True

    def cpus(self) -> int:
        """Of a worker. More than there are cores: reading and writing wait most of the time."""
        return self.worker_cpus or max(3, len(os.sched_getaffinity(0)) // 2)


class Stack:
    """The services, by name, none of them started yet.

    Args:
        place: where.
        temp: folder of Ray's sockets and logs.
        settings: how large.
    """

    def __init__(self, place: Place, temp: Path, settings: StackSettings) -> None:
        self.place = place
        self.store = ObjectStore(place)
        self.login = Login(place)
        known = {
            **self.store.variables,
            **self.login.variables,
            "MLFLOW_TRACKING_URI": place.url("mlflow"),
        }
        self.head = RayHead(place, settings.store_mb, temp, known)
        # What may be missing comes first: the database takes seconds to prepare.
        self.prometheus = Prometheus(self.head) if settings.with_prometheus else None
        self.database = Database(place)
        self.tracking = Tracking(place, self.database, self.store, self.login)
        cpus = settings.cpus()
        # One worker has the machine's GPUs: two would both believe that they do.
        self.workers = [
            RayWorker(self.head, number, cpus, num_gpus) for number, num_gpus in ((1, None), (2, 0))
        ]

    @property
    def waves(self) -> list[list[Service]]:
        """Services that need only those of the waves before."""
        figures = [] if self.prometheus is None else [self.prometheus]
        # Workers one after the other: starting takes all of two cores.
        return [
            [self.store, self.database, self.head],
            [self.tracking, self.workers[0]],
            [self.workers[1], *figures],
        ]

    @property
    def services(self) -> list[Service]:
        """In the order of their start."""
        return [service for wave in self.waves for service in wave]

    def start(self, tell: Callable[[str], None]) -> None:
        """Returns when all are ready."""
        for wave in self.waves:
            for service in wave:
                service.start()
            for service in wave:
                service.wait()
                tell(f"{service.name} is ready")

    def stop(self) -> None:
        """Ends all, last started first."""
        for service in reversed(self.services):
            service.stop()

    def ended(self) -> Service | None:
        """One that ended by itself."""
        return next((service for service in self.services if service.ended() is not None), None)

    def variables(self) -> dict[str, str]:
        """With these a process on this machine reaches the services; some are secret."""
        return {
            "RAY_ADDRESS": self.head.address(),
            # What `ray job` prefers; the other is for drivers on this machine.
            "RAY_API_SERVER_ADDRESS": self.head.url,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.place.ray_token),
            **self.head.known,
        }

    def exports(self) -> dict[str, str]:
        """The same for a shell, which reads the secrets from their files."""
        files = self.store.secret_files | self.login.secret_files
        hidden = {name: f'"$(cat {shlex.quote(str(path))})"' for name, path in files.items()}
        return {name: shlex.quote(value) for name, value in self.variables().items()} | hidden

    def addresses(self) -> dict[str, str]:
        """What to open in a browser."""
        pages = {"Ray": self.head.url, "MLflow": self.tracking.uri, "S3": self.place.url("s3")}
        if self.prometheus is not None:
            pages["Prometheus"] = self.prometheus.url
        return pages


@contextmanager
def running_stack(settings: StackSettings, tell: Callable[[str], None]) -> Iterator[Stack]:
    """A stack for the time of a ``with`` block; nothing of it runs afterwards.

    Args:
        settings: where and how large.
        tell: is told what happens, a line each.

    Raises:
        StackError: one runs in that folder already, or a service does not start.
    """
    place = make_place(settings.folder, settings.first_port)
    with _alone(place), _node_folder(place) as temp:
        if count := end_leftovers(place.folder):
            tell(f"ended {count} processes that a former stack had left")
        stack = Stack(place, temp, settings)
        try:
            stack.start(tell)
            yield stack
        finally:
            tell("ending")
            stack.stop()
            end_leftovers(place.folder)


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Holds the folder's lock, which the system gives back however this process ends."""
    with open(place.folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"a stack runs in {place.folder} already, process {lock.read().strip()}; use it, "
                "end it with Ctrl-C, or give this one another --folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def _node_folder(place: Place) -> Iterator[Path]:
    """Where Ray's nodes put sockets and logs; the logs are kept, those of the run before go."""
    note = place.folder / "node-folder"
    if note.exists():
        # Of a stack that was killed.
        shutil.rmtree(note.read_text(), ignore_errors=True)
    # Not below the stack's folder: the system allows a socket's path 107 characters.
    temp = Path(tempfile.mkdtemp(prefix="rayboot-"))
    note.write_text(str(temp))
    try:
        yield temp
    finally:
        kept = place.log("ray").with_suffix("")
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        # A node that was started again has several; those of its last start have its plain name.
        for logs in sorted(temp.glob("*/session_2*/logs"), reverse=True):
            node, session = logs.parts[-3:-1]
            again = (kept / node).exists()
            shutil.move(logs, kept / (f"{node}-{session}" if again else node))
        shutil.rmtree(temp, ignore_errors=True)
        note.unlink()
