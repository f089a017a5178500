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

HOLD = """
import sys, time
from rayboot.io.lease import exclusive
with exclusive(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def lock(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a lock that nobody holds yet."""
    if request.param == "local":
        return str(tmp_path / "out/_run/lock.json")
    for name, value in request.getfixturevalue("s3_server").environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://ready/{tmp_path.name}/_run/lock.json"


def test_a_file_is_created_once(lock: str) -> None:
    assert create_bytes(lock, b"first")
    assert not create_bytes(lock, b"second")
    assert read_bytes(lock) == b"first"
    remove(lock)
    remove(lock)
    assert create_bytes(lock, b"third")


def test_of_many_at_once_one_creates_it(lock: str) -> None:
    made: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(create_bytes(lock, str(n).encode())))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]


def test_a_living_run_excludes_another(lock: str) -> None:
    with hold_lease(lock, beat_s=0.2):
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), hold_lease(lock):
            pass
        assert exists(lock)
    assert not exists(lock)
    with hold_lease(lock):
        pass


def test_a_killed_run_on_this_machine_excludes_nobody(lock: str) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, env=os.environ
    )
    assert held.stdout is not None and held.stdout.readline() == b"held\n"
    held.kill()
    held.wait()
    started = time.monotonic()
    with hold_lease(lock):
        assert time.monotonic() - started < 10


def test_a_run_elsewhere_is_dead_when_it_is_silent(lock: str) -> None:
    elsewhere = b'{"token": "x", "host": "other/1", "process": 1, "beat": 3}'
    create_bytes(lock, elsewhere)
    started = time.monotonic()
    with hold_lease(lock, stale_s=2.0):
        assert time.monotonic() - started >= 2.0


def test_two_runs_that_find_a_dead_one_do_not_both_go_on(lock: str) -> None:
    create_bytes(lock, b'{"token": "x", "host": "other/1", "process": 1, "beat": 3}')
    outcomes: list[str] = []

    def run() -> None:
        try:
            with hold_lease(lock, stale_s=1.0, beat_s=0.2):
                outcomes.append("held")
                time.sleep(4)
        except BusyError:
            outcomes.append("busy")

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["busy", "busy", "held"]


def test_a_store_that_is_away_at_the_end_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(uri: str) -> bytes:
        raise EndpointConnectionError(endpoint_url=uri)

    uri = str(tmp_path / "lock.json")
    with pytest.raises(StoreError, match="in trouble"), hold_lease(uri):
        monkeypatch.setattr("rayboot.io.lease.read_bytes", away)
        raise StoreError("the store is in trouble")
    assert "could not be removed" in caplog.text
