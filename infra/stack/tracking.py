"""The MLflow server: runs and versions in PostgreSQL, files in S3."""

import sys
from collections.abc import Mapping

from infra.stack.database import Database
from infra.stack.object_store import MLFLOW_BUCKET, ObjectStore
from infra.stack.place import LOOPBACK, Place
from infra.stack.service import Service, http_problem

__all__ = ["Tracking"]


class Tracking(Service):
    """Clients need its address alone: files go through it."""

    name: str = "mlflow"

    def __init__(self, place: Place, database: Database, store: ObjectStore) -> None:
        super().__init__(place)
        self._database, self._store = database, store

    @property
    def uri(self) -> str:
        """For ``MLFLOW_TRACKING_URI``."""
        return self.place.url("mlflow")

    def command(self) -> list[str]:
        """One worker; other names than this machine's own are refused."""
        port = self.place.ports["mlflow"]
        return [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", LOOPBACK, "--port", str(port), "--workers", "1"),
            *("--artifacts-destination", f"s3://{MLFLOW_BUCKET}"),
            *("--allowed-hosts", f"{LOOPBACK}:{port},localhost:{port}"),
        ]

    def environment(self) -> Mapping[str, str]:
        """The password is not in the command, which everybody on the machine can read."""
        return {
            **self._store.variables,
            "MLFLOW_S3_ENDPOINT_URL": self._store.variables["AWS_ENDPOINT_URL"],
            "MLFLOW_BACKEND_STORE_URI": self._database.uri,
            # Jobs need another server beside it.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def problem(self) -> str | None:
        """It is ready when it answers."""
        return http_problem(f"{self.uri}/health")
