"""Where a stack lives: its folder, its secrets and its ports."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.stack.errors import StackError

__all__ = ["LOOPBACK", "Place", "choose_ports", "make_place"]

LOOPBACK = "127.0.0.1"

_WELL_KNOWN = {
    "ray": 6379,
    "ray_dashboard": 8265,
    "s3": 8333,
    "mlflow": 5000,
    "prometheus": 9090,
}
"""Ports that people know by heart; the next free one where somebody else has it."""

_OTHERS = (
    ("postgres", "ray_client")
    # A gRPC port is SeaweedFS's HTTP port plus 10000 unless said, which is within Ray's range.
    + ("weed_master", "weed_master_grpc", "weed_volume", "weed_volume_grpc")
    + ("weed_filer", "weed_filer_grpc", "weed_s3_grpc")
    # Each node on this machine needs its own.
    + tuple(f"agent_{kind}_{node}" for node in range(3) for kind in ("http", "grpc"))
)
_FIRST_OTHER = 20100
_RAY_WORKERS = range(10002, 20000)
_LAST = 32000
"""Beyond, the system takes ports for outgoing connections."""


class Place(NamedTuple):
    """Where a stack lives.

    Attributes:
        folder: of data, logs and secrets.
        ports: by name.
    """

    folder: Path
    ports: dict[str, int]

    @property
    def secrets(self) -> Path:
        """Folder of keys and passwords, for the user alone."""
        return self.folder / "secrets"

    @property
    def ray_token(self) -> Path:
        """What whoever talks to the Ray cluster must show."""
        return self.secrets / "ray-token"

    def data(self, name: str) -> Path:
        """Folder of what a service keeps from one start to the next."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.folder / "logs" / f"{name}.log"

    def url(self, port: str) -> str:
        """Address of what listens at the port of that name."""
        return f"http://{LOOPBACK}:{self.ports[port]}"

    def write_secret(self, name: str, text: str) -> Path:
        """A file in the folder of secrets that only the user can read."""
        path = self.secrets / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
        return path

    def new_secret(self, name: str) -> str:
        """A fresh key, kept in a file of that name."""
        value = secrets.token_hex(32)
        self.write_secret(name, value)
        return value


def make_place(folder: Path, first_port: int | None = None) -> Place:
    """Makes the folders of a stack and finds ports for it.

    Args:
        folder: of everything.
        first_port: number all ports from here; by default well-known ones are preferred.
    """
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Logs too: Ray writes down the variables that a job was given, keys among them.
    for name in ("secrets", "logs"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        (folder / name).chmod(0o700)
    return Place(folder, choose_ports(first_port))


def choose_ports(first_port: int | None = None) -> dict[str, int]:
    """A free port for every name.

    Raises:
        StackError: there are not enough.
    """
    taken: set[int] = set()
    others = _free_from(first_port or _FIRST_OTHER, taken)
    ports = {}
    for name, known in _WELL_KNOWN.items():
        source = others if first_port else _free_from(known, taken)
        ports[name] = _take(source, taken)
    return ports | {name: _take(others, taken) for name in _OTHERS}


def _take(source: Iterator[int], taken: set[int]) -> int:
    port = next(source, None)
    if port is None:
        raise StackError(f"no port is free below {_LAST}; end other stacks, or set --first-port")
    taken.add(port)
    return port


def _free_from(first: int, taken: set[int]) -> Iterator[int]:
    for port in range(first, _LAST):
        if port not in taken and port not in _RAY_WORKERS and _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port whose last user is gone for less than a minute is free for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # All addresses: some services cannot be held to one.
            probe.bind(("", port))
        except OSError:
            return False
    return True
