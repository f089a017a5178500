"""The MLflow server, behind a login: runs and versions in PostgreSQL, files in S3."""

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.stack.database import Database
from infra.stack.layout import LOOPBACK, StackLayout
from infra.stack.object_store import MLFLOW_BUCKET, ObjectStore
from infra.stack.service import Service, find_http_problem

__all__ = ["Login", "Tracking"]

_USER = "rayboot"
_LOGIN_FILE = "mlflow-password"


class Login:
    """Login of the only user of the server; every start has a new password.

    Args:
        layout: layout of the stack.
    """

    def __init__(self, layout: StackLayout) -> None:
        self._password = layout.new_secret(_LOGIN_FILE)
        self._file = layout.secrets / _LOGIN_FILE

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables with which MLflow's client logs in."""
        return {
            "MLFLOW_TRACKING_USERNAME": _USER,
            "MLFLOW_TRACKING_PASSWORD": self._password,
        }

    @property
    def secret_files(self) -> dict[str, Path]:
        """File of the variable that is secret."""
        return {"MLFLOW_TRACKING_PASSWORD": self._file}

    @property
    def server_variables(self) -> dict[str, str]:
        """Environment variables with which the server creates the user."""
        return {
            "MLFLOW_AUTH_ADMIN_USERNAME": _USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self._password,
        }


class Tracking(Service):
    """The MLflow server. Clients need only its address and the login: it serves files as well.

    Args:
        layout: layout of the stack.
        database: database of runs and versions.
        store: object store of files.
        login: login that the server requires.
    """

    name: str = "mlflow"

    def __init__(
        self, layout: StackLayout, database: Database, store: ObjectStore, login: Login
    ) -> None:
        super().__init__(layout)
        self._database, self._store, self._login = database, store, login
        self._session_key = layout.new_secret("mlflow-session-key")

    @property
    def uri(self) -> str:
        """Value of ``MLFLOW_TRACKING_URI``."""
        return self.layout.url("mlflow")

    def command(self) -> list[str]:
        """Returns the command: one worker, which requires a login and accepts local host names."""
        self._write_rules()
        port = self.layout.ports["mlflow"]
        return [
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--host", LOOPBACK, "--port", str(port), "--workers", "1"),
            *("--artifacts-destination", f"s3://{MLFLOW_BUCKET}"),
            *("--allowed-hosts", f"{LOOPBACK}:{port},localhost:{port}"),
        ]

    def environment(self) -> Mapping[str, str]:
        """Returns the variables with the passwords: any user can read a command line."""
        return {
            **self._store.variables,
            **self._login.server_variables,
            "MLFLOW_S3_ENDPOINT_URL": self._store.variables["AWS_ENDPOINT_URL"],
            "MLFLOW_BACKEND_STORE_URI": self._database.uri,
            "MLFLOW_AUTH_CONFIG_PATH": str(self._rules),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._session_key,
            # Jobs would need a second server.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def find_problem(self) -> str | None:
        """Returns None when the health page responds, which needs no login."""
        return find_http_problem(f"{self.uri}/health")

    @property
    def _rules(self) -> Path:
        return self.layout.data("mlflow") / "basic_auth.ini"

    def _write_rules(self) -> None:
        folder = self._rules.parent
        folder.chmod(0o700)
        # MLflow does not change the password of an existing user, so the users are removed.
        users = folder / "users.db"
        for file in folder.glob(f"{users.name}*"):
            file.unlink()
        self._rules.write_text(
            "[mlflow]\n"
            "default_permission = READ\n"
            f"database_uri = sqlite:///{users}\n"
            # Without the cache the password is hashed for every request.
            "auth_cache_ttl_seconds = 60\n"
        )
