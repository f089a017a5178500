"""Fixtures that more than one room's tests use."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Before anything imports ray or OpenGL; both read these once.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")

# Triton (in CUDA builds of torch) and Mesa's renderer each bring an LLVM. Loaded after Mesa's,
# Triton's crashes the process; only tests render and train in one.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

import pytest

from rayboot.cluster import LOCAL_ENVIRONMENT

SHARED = Path(__file__).resolve().parents[1] / "../shared"


class S3Server(NamedTuple):
    """An S3 server of this machine, for :mod:`fsspec` and for PyArrow."""

    endpoint_url: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which plain ``s3://bucket/key`` URIs reach the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real photographs, scans and reference values, where they lie beside the project."""
    if not (SHARED / "faces").is_dir():
        sentence = f"needs the real test data in {SHARED}, which is not there"
        if os.environ.get("RAYBOOT_REQUIRE_SHARED") == "1":
            pytest.fail(f"{sentence}; RAYBOOT_REQUIRE_SHARED=1 forbids skipping")
        pytest.skip(sentence)
    return SHARED.resolve()


@pytest.fixture(scope="session")
def ray_local() -> Iterator[Any]:
    """One local Ray for the whole run, of 5 logical CPUs.

    More than the machine's cores may be: two pools, the reader and the checkpoint
    filter each hold one, and a pool that takes them all waits for ever.
    """
    import ray

    os.environ.update(LOCAL_ENVIRONMENT)
    ray.init(
        address="local",
        num_cpus=5,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with signatures (SeaweedFS); buckets are made by who needs them."""
    weed = _weed_binary()
    folder = tmp_path_factory.mktemp("seaweedfs")
    identity = folder / "s3.json"
    identity.write_text(
        '{"identities": [{"name": "tests", "credentials": [{"accessKey": "tests", '
        '"secretKey": "tests-secret"}], '
        '"actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}'
    )
    # A gRPC port is its HTTP port plus 10000 unless said; all are asked for here.
    ports = _free_ports(8)
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    names += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
    numbers = dict(zip(names, ports, strict=True))
    with open(folder / "weed.log", "wb") as log:
        server = subprocess.Popen(
            [
                weed,
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-s3",
                # Catalogs on fixed ports, which a second server could not have.
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                f"-s3.config={identity}",
                # A bucket takes 7 volumes; the default number ends at the second bucket.
                "-volume.max=200",
                "-master.volumeSizeLimitMB=64",
                "-master.electionTimeout=1s",
                "-master.telemetry=false",
                *(f"-{name}={number}" for name, number in numbers.items()),
            ],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMEMLIMIT": "300MiB", "TMPDIR": str(folder)},
        )
    found = S3Server(f"http://127.0.0.1:{numbers['s3.port']}", "tests", "tests-secret")
    try:
        _wait_until_writable(found, server, folder / "weed.log")
        yield found
    finally:
        server.kill()  # Asked politely it takes 16 s.
        server.wait()


def _weed_binary() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.fail("no `weed`: install the extra dev (`make env` does)")
    return found


def _free_ports(count: int) -> list[int]:
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


def _wait_until_writable(found: S3Server, server: subprocess.Popen, log: Path) -> None:
    import s3fs
    from botocore.exceptions import BotoCoreError

    filesystem = s3fs.S3FileSystem(
        key=found.access_key,
        secret=found.secret_key,
        endpoint_url=found.endpoint_url,
        skip_instance_cache=True,
        config_kwargs={"retries": {"max_attempts": 1}, "connect_timeout": 2, "read_timeout": 10},
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            if not filesystem.exists("ready"):
                filesystem.call_s3("create_bucket", Bucket="ready")
            filesystem.pipe_file("ready/probe", b"1")
            return
        except (OSError, BotoCoreError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                pytest.fail(f"the S3 server did not start: {error}\n{tail}")
            time.sleep(0.3)


@pytest.fixture(scope="session")
def synthetic_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small synthesised set: 12 near-frontal and 12 faces at every yaw, with their truth."""
    from rayboot.synthesis import SynthesisConfig, synthesize

    uri = str(tmp_path_factory.mktemp("faces") / "set")
    yaw = {"kind": "steps", "steps_deg": (0, 10, 45, 75)}
    synthesize(SynthesisConfig(num_identities=24, yaw=yaw, seed=5), uri, num_workers=1)
    return uri
