"""A real S3 server (SeaweedFS), to be started, killed and started again."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import s3fs
from botocore.exceptions import BotoCoreError

_PORTS: tuple[str, ...] = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
_PORTS += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")


class S3Server:
    """A server with signatures whose data survive it, in ``folder``."""

    access_key, secret_key = "tests", "tests-secret"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A gRPC port is its HTTP port plus 10000 unless said; all are asked for here.
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self._process: subprocess.Popen | None = None
        (folder / "s3.json").write_text(
            '{"identities": [{"name": "tests", "credentials": [{"accessKey": "tests", '
            '"secretKey": "tests-secret"}], '
            '"actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}'
        )

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which plain ``s3://bucket/key`` URIs reach the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        """A client of its own that does not wait."""
        return s3fs.S3FileSystem(
            key=self.access_key,
            secret=self.secret_key,
            endpoint_url=self.endpoint_url,
            skip_instance_cache=True,
            config_kwargs={
                "retries": {"max_attempts": 1},
                "connect_timeout": 2,
                "read_timeout": 10,
            },
        )

    def start(self) -> None:
        """Returns when it can be written to."""
        folder = self._folder
        with open(folder / "weed.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    _weed_binary(),
                    "server",
                    f"-dir={folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    # Catalogs on fixed ports, which a second server could not have.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={folder / 's3.json'}",
                    # A bucket takes 7 volumes; the default number ends at the second bucket.
                    "-volume.max=200",
                    "-master.volumeSizeLimitMB=64",
                    "-master.electionTimeout=1s",
                    "-master.telemetry=false",
                    *(f"-{name}={number}" for name, number in self._ports.items()),
                ],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "GOMEMLIMIT": "300MiB", "TMPDIR": str(folder)},
            )
        self._wait_until_writable(self._process)

    def kill(self) -> None:
        """At once: asked politely it takes 16 s."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait_until_writable(self, process: subprocess.Popen) -> None:
        filesystem = self.filesystem()
        deadline = time.monotonic() + 60
        while True:
            try:
                if not filesystem.exists("ready"):
                    filesystem.call_s3("create_bucket", Bucket="ready")
                filesystem.pipe_file("ready/probe", b"1")
                return
            except (OSError, BotoCoreError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = (self._folder / "weed.log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"the S3 server did not start: {error}\n{tail}")
                time.sleep(0.3)


def _weed_binary() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.fail("no `weed`: install the extra dev (`make env` does)")
    return found


def free_ports(count: int) -> list[int]:
    # Outside 10002 to 19999, where Ray puts its workers, and below the range from
    # which the system takes ports for outgoing connections.
    ports: list[int] = []
    for port in range(20100 + os.getpid() % 5000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"fewer than {count} free ports between 20100 and 32000")
