"""Folder, secrets and ports of a stack."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.stack.errors import StackError

__all__ = ["LOOPBACK", "StackLayout", "choose_ports", "create_layout"]

LOOPBACK = "127.0.0.1"

_DEFAULT_PORTS = {
    "ray": 6379,
    "ray_dashboard": 8265,
    "s3": 8333,
    "mlflow": 5000,
    "prometheus": 9090,
}
"""Default ports of the services; where one is in use, the next free port is taken."""

_INTERNAL_PORTS = (
    *("postgres", "ray_client"),
    # By default SeaweedFS's gRPC ports are its HTTP ports plus 10000: within the range of Ray.
    *("weed_master", "weed_master_grpc", "weed_volume", "weed_volume_grpc"),
    *("weed_filer", "weed_filer_grpc", "weed_s3_grpc"),
    # Each node on this machine needs ports of its own.
    *(f"agent_{kind}_{node}" for node in range(3) for kind in ("http", "grpc")),
)
_FIRST_INTERNAL_PORT = 20100
_RAY_WORKER_PORTS = range(10002, 20000)
_MAX_PORT = 32000
"""Upper limit (exclusive); the system uses higher ports for outgoing connections."""


class StackLayout(NamedTuple):
    """Folder and ports of a stack.

    Attributes:
        folder: folder of data, logs and secrets.
        ports: port numbers by name.
    """

    folder: Path
    ports: dict[str, int]

    @property
    def secrets(self) -> Path:
        """Folder of keys and passwords, which only the user can read."""
        return self.folder / "secrets"

    @property
    def ray_token(self) -> Path:
        """File with the token that clients of the Ray cluster need."""
        return self.secrets / "ray-token"

    def data(self, name: str) -> Path:
        """Returns the folder of the data that a service keeps between starts."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        """Returns the file with the output of a service."""
        return self.folder / "logs" / f"{name}.log"

    def url(self, port: str) -> str:
        """Returns the address of the service that listens on a port."""
        return f"http://{LOOPBACK}:{self.ports[port]}"

    def write_secret(self, name: str, text: str) -> Path:
        """Writes a file in the folder of secrets that only the user can read."""
        path = self.secrets / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
        return path

    def new_secret(self, name: str) -> str:
        """Returns a new random key, and stores it in a secret file of that name."""
        value = secrets.token_hex(32)
        self.write_secret(name, value)
        return value


def create_layout(folder: Path, first_port: int | None = None) -> StackLayout:
    """Creates the folders of a stack and chooses its ports.

    Args:
        folder: folder of the stack.
        first_port: lowest port number; by default the services have their usual ports if
            these are free.
    """
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Logs as well: Ray logs the environment variables of jobs, which include keys.
    for name in ("secrets", "logs"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        (folder / name).chmod(0o700)
    return StackLayout(folder, choose_ports(first_port))


def choose_ports(first_port: int | None = None) -> dict[str, int]:
    """Returns a free port for every name.

    Raises:
        StackError: there are not enough free ports.
    """
    taken: set[int] = set()
    internal = _free_from(first_port or _FIRST_INTERNAL_PORT, taken)
    ports = {}
    for name, default in _DEFAULT_PORTS.items():
        source = internal if first_port else _free_from(default, taken)
        ports[name] = _take(source, taken)
    return ports | {name: _take(internal, taken) for name in _INTERNAL_PORTS}


def _take(source: Iterator[int], taken: set[int]) -> int:
    port = next(source, None)
    if port is None:
        raise StackError(
            f"no port is free below {_MAX_PORT}; stop other stacks, or set --first-port"
        )
    taken.add(port)
    return port


def _free_from(first: int, taken: set[int]) -> Iterator[int]:
    for port in range(first, _MAX_PORT):
        if port not in taken and port not in _RAY_WORKER_PORTS and _is_free(port):
            yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port in TIME_WAIT, after its last process ended, can be used by a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # On all addresses, because some services listen on all of them.
            probe.bind(("", port))
        except OSError:
            return False
    return True
