"""The MLflow server: runs and versions in PostgreSQL, files in S3, for whoever has the login."""

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.stack.database import Database
from infra.stack.layout import LOOPBACK, Place
from infra.stack.object_store import MLFLOW_BUCKET, ObjectStore
from infra.stack.service import Service, http_problem

__all__ = ["Login", "Tracking"]

_USER = "rayboot"
_PASSWORD_FILE = "mlflow-password"


class Login:
    """Of the one user that the server knows; the password is new at every start.

    Args:
        place: of the stack.
    """

    def __init__(self, place: Place) -> None:
        self._password = place.new_secret(_PASSWORD_FILE)
        self._file = place.secrets / _PASSWORD_FILE

    @property
    def variables(self) -> dict[str, str]:
        """With these MLflow's client logs in."""
        return {
            "MLFLOW_TRACKING_USERNAME": _USER,
            "MLFLOW_TRACKING_PASSWORD": self._password,
        }

    @property
    def secret_files(self) -> dict[str, Path]:
        """Where the secret one of the variables is kept."""
        return {"MLFLOW_TRACKING_PASSWORD": self._file}

    @property
    def server_variables(self) -> dict[str, str]:
        """With these the server makes the user."""
        return {
            "MLFLOW_AUTH_ADMIN_USERNAME": _USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self._password,
        }


class Tracking(Service):
    """Clients need its address and the login: files go through it.

    Args:
        place: of the stack.
        database: of runs and versions.
        store: of files.
        login: that it asks for.
    """

    name: str = "mlflow"

    def __init__(self, place: Place, database: Database, store: ObjectStore, login: Login) -> None:
        super().__init__(place)
        self._database, self._store, self._login = database, store, login
        self._session_key = place.new_secret("mlflow-session-key")

    @property
    def uri(self) -> str:
        """For ``MLFLOW_TRACKING_URI``."""
        return self.place.url("mlflow")

    def command(self) -> list[str]:
        """One worker; other names than this machine's own are refused, and whoever is nobody."""
        self._write_rules()
        port = self.place.ports["mlflow"]
        return [
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--host", LOOPBACK, "--port", str(port), "--workers", "1"),
            *("--artifacts-destination", f"s3://{MLFLOW_BUCKET}"),
            *("--allowed-hosts", f"{LOOPBACK}:{port},localhost:{port}"),
        ]

    def environment(self) -> Mapping[str, str]:
        """Passwords are not in the command, which everybody on the machine can read."""
        return {
            **self._store.variables,
            **self._login.server_variables,
            "MLFLOW_S3_ENDPOINT_URL": self._store.variables["AWS_ENDPOINT_URL"],
            "MLFLOW_BACKEND_STORE_URI": self._database.uri,
            "MLFLOW_AUTH_CONFIG_PATH": str(self._rules),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._session_key,
            # Jobs need another server beside it.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def problem(self) -> str | None:
        """It is ready when it answers; this page needs no login."""
        return http_problem(f"{self.uri}/health")

    @property
    def _rules(self) -> Path:
        return self.place.data("mlflow") / "basic_auth.ini"

    def _write_rules(self) -> None:
        folder = self._rules.parent
        folder.chmod(0o700)
        # MLflow never changes the password of a user that it knows.
        users = folder / "users.db"
        for file in folder.glob(f"{users.name}*"):
            file.unlink()
        self._rules.write_text(
            "[mlflow]\n"
            "default_permission = READ\n"
            f"database_uri = sqlite:///{users}\n"
            # A password is not hashed again for every request.
            "auth_cache_ttl_seconds = 60\n"
        )
