"""SeaweedFS: an S3 server with signatures, from a wheel."""

import shutil
import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import LOOPBACK, Place
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
    """Buckets survive a restart; its keys are new at every start."""

    name: str = "seaweedfs"
    # Asked politely it takes 16 s; it is built to be cut off.
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._access_key = place.new_secret(_ACCESS_KEY)
        self._secret_key = place.new_secret(_SECRET_KEY)

    @property
    def variables(self) -> dict[str, str]:
        """With these, plain ``s3://bucket/key`` URIs reach the server."""
        return {
            "AWS_ENDPOINT_URL": self.place.url("s3"),
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def secret_files(self) -> dict[str, Path]:
        """Where the secret ones of the variables are kept."""
        folder = self.place.secrets
        return {
            "AWS_ACCESS_KEY_ID": folder / _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": folder / _SECRET_KEY,
        }

    def command(self) -> list[str]:
        """One process for master, volumes, filer and S3."""
        return [
            _weed_binary(),
            "server",
            f"-dir={self.place.data('s3')}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-s3",
            # Catalogs on fixed ports, which a second server could not have.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # A bucket takes 7 volumes; the default number ends at the second bucket.
            "-volume.max=200",
            "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
            *(f"-{option}={self.place.ports[name]}" for option, name in _PORTS.items()),
        ]

    def environment(self) -> Mapping[str, str]:
        """Whoever signs with this key may do everything, and nobody else anything."""
        return {
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "GOMEMLIMIT": "300MiB",
            # Its own logs, which would go to the system's folder.
            "TMPDIR": str(self.place.data("s3")),
        }

    def problem(self) -> str | None:
        """It is ready when the buckets are there and can be written to."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for bucket in BUCKETS:
                self._make_bucket(bucket)
                self._client.put_object(Bucket=bucket, Key=".ready", Body=b"1")
                self._client.delete_object(Bucket=bucket, Key=".ready")
        except (BotoCoreError, ClientError) as error:
            return str(error)
        return None

    def _make_bucket(self, bucket: str) -> None:
        known = self._client.list_buckets()["Buckets"]
        if bucket not in [entry["Name"] for entry in known]:
            self._client.create_bucket(Bucket=bucket)

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        patience = Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10)
        return boto3.client(
            "s3",
            endpoint_url=self.place.url("s3"),
            aws_access_key_id=self._access_key,
            aws_secret_access_key=self._secret_key,
            region_name="us-east-1",
            config=patience,
        )


def _weed_binary() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackError("no program `weed` (SeaweedFS); `make env` installs it")
    return found
