"""The service as a user starts it: `rayboot serve` with Ray Serve, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import psutil
import pytest

from rayboot.data.mesh_files import decode_mesh
from rayboot.errors import RequestError
from rayboot.registry.promotion import promote
from rayboot.serving.access import digest_token
from rayboot.serving.run import require_token, run_service
from rayboot.serving.serve_config import TOKEN_VARIABLE, ServeConfig, is_loopback

START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 120


class Service(NamedTuple):
    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def post(self, photo: bytes) -> httpx2.Response:
        files = {"photo": ("a.jpg", photo)}
        return httpx2.post(f"{self.address}/v1/reconstruct", files=files, timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def service(registry: str, tmp_path: Path) -> Iterator[Service]:
    config = tmp_path / "serve.yaml"
    config.write_text(f"tracking_uri: {registry}\nmodel_poll_s: 0.5\n")
    port = free_port()
    command = [sys.executable, "-m", "rayboot", "serve", "--config", str(config)]
    log = tmp_path / "log.txt"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().decode().strip()
        assert address == f"http://127.0.0.1:{port}", log.read_text()
        yield Service(process, address, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.usefixtures("detector")
def test_a_photo_becomes_a_mesh_and_a_promotion_is_followed(
    service: Service, registry: str, portrait: bytes
) -> None:
    response = service.post(portrait)
    assert response.status_code == 200, response.text
    assert response.headers["rayboot-model"] == "models:/rayboot-vrn/1"
    first = decode_mesh(response.content, ".glb")
    assert len(first.vertices) > 5000
    assert service.post(b"no photo").json()["reason"] == "undecodable"
    assert service.post(bytes(40_000_000)).status_code == 413
    assert "<canvas" in httpx2.get(service.address).text
    assert httpx2.get(f"{service.address}/readyz").json()["model"] == "models:/rayboot-vrn/1"
    promote(registry, "rayboot-vrn", "2", "1")
    deadline = time.monotonic() + 60
    statuses = set()
    while response.headers["rayboot-model"] != "models:/rayboot-vrn/2":
        response = service.post(portrait)
        statuses.add(response.status_code)
        assert time.monotonic() < deadline
    assert statuses == {200}
    second = decode_mesh(response.content, ".glb")
    assert second.vertices.shape != first.vertices.shape
    metrics = httpx2.get(f"{service.address}/metrics").text
    assert 'rayboot_serve_replies_total{model="models:/rayboot-vrn/2"}' in metrics
    _stop(service)


def _stop(service: Service) -> None:
    """Ends the service by Ctrl-C, as a terminal sends it, and checks that nothing is left."""
    session = [
        process for process in psutil.process_iter() if _session(process) == service.process.pid
    ]
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert len(children) > 3
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(STOP_TIMEOUT_S) == 0
    gone, alive = psutil.wait_procs({*children, *session}, timeout=30)
    assert not alive and gone
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(service.address)
    # Besides the address, and the hint for users, nothing is printed.
    assert service.process.stdout is not None and service.process.stdout.read() == b""
    lines = service.log.read_text().splitlines()
    assert [line for line in lines if "Ctrl-C ends the service" not in line] == []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "faces.example", "127.example"])
def test_other_machines_require_a_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServeConfig(host=host)
    assert not is_loopback(host)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(RequestError, match=f"requires a token; set {TOKEN_VARIABLE}"):
        require_token(config)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(RequestError, match="has 5 characters, expected 16"):
        require_token(config)
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef")
    assert require_token(config) == digest_token("0123456789abcdef")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.53"])
def test_this_machine_requires_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert is_loopback(host) and require_token(ServeConfig(host=host)) is None


def test_a_taken_port_is_reported_before_ray_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = ServeConfig(model="builtin:compact", port=other.getsockname()[1])
        with pytest.raises(RequestError, match="give another --port"):
            run_service(config, print)


def test_an_unknown_model_is_reported_before_ray_starts() -> None:
    with pytest.raises(RequestError, match="no such file"):
        run_service(ServeConfig(model="no/such.safetensors"), print)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(RequestError, match=r"pip install --upgrade rayboot"):
        run_service(ServeConfig(), print)
