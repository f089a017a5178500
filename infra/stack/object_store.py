"""SeaweedFS, from a wheel: an S3 server that requires signatures."""

import shutil
import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK, StackLayout
from infra.stack.service import Service

__all__ = ["BUCKETS", "MLFLOW_BUCKET", "PHOTO_BUCKET", "ObjectStore"]

MLFLOW_BUCKET, PHOTO_BUCKET = "mlflow", "rayboot"
BUCKETS = (MLFLOW_BUCKET, PHOTO_BUCKET)

_PORTS = {
    "master.port": "weed_master",
    "master.port.grpc": "weed_master_grpc",
    "volume.port": "weed_volume",
    "volume.port.grpc": "weed_volume_grpc",
    "filer.port": "weed_filer",
    "filer.port.grpc": "weed_filer_grpc",
    "s3.port": "s3",
    "s3.port.grpc": "weed_s3_grpc",
}
_ACCESS_KEY, _SECRET_KEY = "s3-access-key", "s3-secret-key"


class ObjectStore(Service):
    """The buckets survive a restart; every start has new keys."""

    name: str = "seaweedfs"
    # With SIGTERM it takes 16 s to end; its data survive SIGKILL.
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, layout: StackLayout) -> None:
        super().__init__(layout)
        self._access_key = layout.new_secret(_ACCESS_KEY)
        self._secret_key = layout.new_secret(_SECRET_KEY)

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables with which ``s3://bucket/key`` URIs refer to this server."""
        return {
            "AWS_ENDPOINT_URL": self.layout.url("s3"),
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def secret_files(self) -> dict[str, Path]:
        """Files of those variables that are secret."""
        folder = self.layout.secrets
        return {
            "AWS_ACCESS_KEY_ID": folder / _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": folder / _SECRET_KEY,
        }

    def command(self) -> list[str]:
        """Returns the command: one process for master, volumes, filer and S3."""
        return [
            _weed_binary(),
            "server",
            f"-dir={self.layout.data('s3')}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-s3",
            # Table catalogs listen on fixed ports, which a second server could not use.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # A bucket uses 7 volumes; the default maximum is reached by the second bucket.
            "-volume.max=200",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
            *(f"-{option}={self.layout.ports[name]}" for option, name in _PORTS.items()),
        ]

    def environment(self) -> Mapping[str, str]:
        """Returns the variables with the only key that the server accepts."""
        return {
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "GOMEMLIMIT": "300MiB",
            # SeaweedFS would write its logs to the temporary folder of the system.
            "TMPDIR": str(self.layout.data("s3")),
        }

    def find_problem(self) -> str | None:
        """Returns None when the buckets exist and can be written to."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for bucket in BUCKETS:
                self._create_bucket(bucket)
                self._client.put_object(Bucket=bucket, Key=".ready", Body=b"1")
                self._client.delete_object(Bucket=bucket, Key=".ready")
        except (BotoCoreError, ClientError) as error:
            return str(error)
        return None

    def _create_bucket(self, bucket: str) -> None:
        buckets = self._client.list_buckets()["Buckets"]
        if bucket not in [entry["Name"] for entry in buckets]:
            self._client.create_bucket(Bucket=bucket)

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10)
        return boto3.client(
            "s3",
            endpoint_url=self.layout.url("s3"),
            aws_access_key_id=self._access_key,
            aws_secret_access_key=self._secret_key,
            region_name="us-east-1",
            config=config,
        )


def _weed_binary() -> str:
    installed = Path(sys.executable).parent / "weed"
    program = str(installed) if installed.exists() else shutil.which("weed")
    if program is None:
        raise StackError("no program `weed` (SeaweedFS); `make env` installs it")
    return program
