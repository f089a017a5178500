"""Object stores as they are: public buckets, archived objects, stores without conditions."""

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.readers import list_photos
from rayboot.diagnostics.service_checks import check_storage
from rayboot.errors import BusyError, FaceRejectedError
from rayboot.io.lease import hold_lease
from rayboot.io.storage import create_bytes, write_bytes
from tests.plain_store import PlainStore, serve_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PlainStore]:
    """A store on a machine without any credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with serve_store() as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.endpoint_url)
        s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the address that it began with
        yield served
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_public_bucket_needs_no_keys(store: PlainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets of registries and agencies: anybody may read, nobody has keys."""
    store.objects = {"open/photos/a.jpg": b"1", "open/photos/b.jpg": b"22"}
    photos = list_photos("s3://open/photos")
    assert photos["face_id"].to_pylist() == ["a.jpg", "b.jpg"]
    fetched = PhotoFetcher().fetch(photos.to_pylist())
    assert [photo.photo for photo in fetched] == [b"1", b"22"]
    assert check_storage("s3://open/photos").status == "ok"
    assert store.signed == 0
    # Keys are used where there are any.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert len(list_photos("s3://open/photos")) == 2
    assert store.signed > 0


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState", "AllAccessDisabled"])
def test_a_refused_or_archived_object_is_a_reject(store: PlainStore, code: str) -> None:
    """Objects that a lifecycle rule moved to an archive, or that belong to somebody else."""
    store.objects = {"open/a.jpg": b"1", "open/b.jpg": b"2"}
    store.refused = {"open/a.jpg": code}
    rows = list_photos("s3://open").to_pylist()
    started = time.monotonic()
    refused, photo = PhotoFetcher().fetch(rows)
    assert time.monotonic() - started < 20
    assert isinstance(refused, FaceRejectedError)
    assert (refused.stage, refused.reason) == ("read", "forbidden")
    assert photo.photo == b"2"
    assert store.requests.count(("GET", "open/a.jpg")) == 1


def test_a_refused_file_of_many_photos_rejects_them(store: PlainStore) -> None:
    table = pa.table({"image": [b"1", b"2"]})
    for name in ("a", "b"):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        store.objects[f"open/{name}.parquet"] = buffer.getvalue()
    rows = list_photos("s3://open").to_pylist()
    store.refused = {"open/a.parquet": "InvalidObjectState"}
    del store.objects["open/b.parquet"]
    fetched = PhotoFetcher().fetch(rows)
    assert [photo.reason for photo in fetched] == ["forbidden"] * 2 + ["missing"] * 2


@pytest.mark.parametrize("conditions", [True, False])
def test_stores_without_conditional_writes_are_named(
    store: PlainStore, conditions: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Gateways and older servers that answer 200 to every put."""
    store.conditions = conditions
    store.objects = {"runs/x": b""}
    check = check_storage("s3://runs", written=True)
    assert check.status == ("ok" if conditions else "note")
    assert ("conditional" in check.detail) != conditions
    with caplog.at_level(logging.WARNING), hold_lease("s3://runs/pairs/lock.json"):
        assert ("ignores conditional writes" in caplog.text) != conditions
        assert create_bytes("s3://runs/pairs/lock.json", b"{}") != conditions
    assert [path for path in store.objects if "lock" in path or "test" in path] in ([], [
        "runs/pairs/lock.json"  # overwritten by the line above
    ])  # fmt: skip


@pytest.mark.parametrize("conditions", [True, False])
def test_stores_that_refuse_checksums_are_named(
    store: PlainStore, conditions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that are older than the checksums which AWS's clients send with every put."""
    store.checksums, store.conditions = False, conditions
    check = check_storage("s3://runs", written=True)
    assert check.status == "FAIL"
    assert "refuses checksum headers" in check.detail and "and written" not in check.detail
    assert ("ignores conditional writes" in check.detail) != conditions
    assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in check.remedy
    assert ("one run at a time" in check.remedy) != conditions
    # The remedy is one.
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    assert check_storage("s3://runs", written=True).status == ("ok" if conditions else "note")
    assert store.objects == {}


def test_a_store_that_refuses_every_write_is_told_as_that(store: PlainStore) -> None:
    store.writable = False
    check = check_storage("s3://runs", written=True)
    assert check.status == "FAIL"
    assert "cannot be written" in check.detail and "checksum" not in check.detail.lower()


def test_a_lease_of_another_run_is_respected_without_conditions(store: PlainStore) -> None:
    store.conditions = False
    uri = "s3://runs/lock.json"
    other = {"token": "t", "host": "elsewhere", "process": 1, "beat": 0}
    write_bytes(uri, json.dumps(other).encode())
    with pytest.raises(BusyError, match="elsewhere"):  # noqa: SIM117 - the heartbeat is sent within
        with _sending_heartbeats(uri, other), hold_lease(uri):
            pass
    assert json.loads(store.objects["runs/lock.json"])["token"] == "t"


@contextmanager
def _sending_heartbeats(uri: str, holder: dict) -> Iterator[None]:
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.5):
            holder["beat"] += 1
            write_bytes(uri, json.dumps(holder).encode())

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
