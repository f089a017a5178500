import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from rayboot.errors import BusyError, StoreError
from rayboot.io.lease import hold_lease
from rayboot.io.storage import create_bytes, exists, read_bytes, remove

HOLD_LEASE = """
import sys, time
from rayboot.io.lease import hold_lease
with hold_lease(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""

# As version 0.1 writes it, with the fencing token "x" and 3 heartbeats.
LEASE_OF_ANOTHER_MACHINE = b'{"token": "x", "host": "other/1", "process": 1, "beat": 3}'


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def lease(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a lease that has no holder."""
    if request.param == "local":
        return str(tmp_path / "out/_run/lock.json")
    for name, value in request.getfixturevalue("s3_server").environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://ready/{tmp_path.name}/_run/lock.json"


def test_a_file_is_created_once(lease: str) -> None:
    assert create_bytes(lease, b"first")
    assert not create_bytes(lease, b"second")
    assert read_bytes(lease) == b"first"
    remove(lease)
    remove(lease)
    assert create_bytes(lease, b"third")


def test_one_of_several_concurrent_calls_creates_the_file(lease: str) -> None:
    created: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: created.append(create_bytes(lease, str(n).encode())))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]


def test_heartbeats_of_the_holder_exclude_another_run(lease: str) -> None:
    with hold_lease(lease, heartbeat_s=0.2):
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), hold_lease(lease):
            pass
        assert exists(lease)
    assert not exists(lease)
    with hold_lease(lease):
        pass


def test_version_01_can_read_a_lease(lease: str) -> None:
    with hold_lease(lease):
        stored = json.loads(read_bytes(lease))
    assert stored.keys() == {"token", "host", "process", "beat"}
    assert (stored["process"], stored["beat"]) == (os.getpid(), 0)


def test_a_lease_expires_with_its_holder_on_the_same_machine(lease: str) -> None:
    command = [sys.executable, "-c", HOLD_LEASE, lease]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        holder.kill()
    start = time.monotonic()
    with hold_lease(lease, expiry_s=300.0):
        assert time.monotonic() - start < 300.0, "waited for heartbeats of a process that ended"


def test_a_lease_without_heartbeats_expires(lease: str) -> None:
    create_bytes(lease, LEASE_OF_ANOTHER_MACHINE)
    start = time.monotonic()
    with hold_lease(lease, expiry_s=2.0):
        assert time.monotonic() - start >= 2.0


def test_an_expired_lease_has_one_new_holder(lease: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Generous, so that a thread that waits for a core still removes the file in time.
    monkeypatch.setattr("rayboot.io.lease._SETTLE_S", 4.0)
    create_bytes(lease, LEASE_OF_ANOTHER_MACHINE)
    outcomes: list[str] = []
    start_together, both_refused = threading.Barrier(3), threading.Event()

    def run() -> None:
        start_together.wait()
        try:
            with hold_lease(lease, expiry_s=2.0, heartbeat_s=0.2):
                outcomes.append("held")
                both_refused.wait(60)
        except BusyError:
            outcomes.append("busy")
            if outcomes.count("busy") == 2:
                both_refused.set()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["busy", "busy", "held"]


def test_an_unavailable_store_at_the_end_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(uri: str) -> bytes:
        raise EndpointConnectionError(endpoint_url=uri)

    def run() -> None:
        with hold_lease(str(tmp_path / "lock.json")):
            monkeypatch.setattr("rayboot.io.lease.read_bytes", fail)
            raise StoreError("object store unavailable")

    with pytest.raises(StoreError, match="unavailable"):
        run()
    assert "could not be released" in caplog.text
