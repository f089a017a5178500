"""Buckets of Google Cloud and containers of Azure, shown with emulators of both."""

import importlib.util
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rayboot.data.fetch import PhotoFetcher
from rayboot.data.manifest import require_finished
from rayboot.data.readers import list_photos
from rayboot.diagnostics.requirements import read_requirements
from rayboot.diagnostics.service_checks import _access_storage, check_storage
from rayboot.errors import (
    AccessError,
    BusyError,
    FaceRejectedError,
    RequestError,
    StoreError,
    UnfinishedDataError,
)
from rayboot.io.lease import hold_lease
from rayboot.io.parquet import read_table
from rayboot.io.retry import RETRIED_ERRORS, retry_io
from rayboot.io.storage import (
    as_local_file,
    create_bytes,
    exists,
    list_entries,
    read_bytes,
    read_range,
    remove,
    require_writable,
    scratch_folder,
    write_bytes,
)
from rayboot.pipeline.checkpoint_files import PENDING_SUFFIX, finished_files
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.generate_summary import list_row_files
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.listing import mark_duplicates
from rayboot.pipeline.pack import pack, prepare_pack
from tests.clouds import AZURITE_ACCOUNT, AZURITE_KEY, AzureEmulator, Emulator, GoogleEmulator
from tests.pipeline.photos import mixed_folder


@pytest.fixture(scope="module", params=[GoogleEmulator, AzureEmulator], ids=["gs", "abfs"])
def emulator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    started = request.param(tmp_path_factory.mktemp("emulator"))
    yield started
    started.kill()


@pytest.fixture
def bucket(
    emulator: Emulator, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """URI of an empty bucket."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    emulator.forget_clients()
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())
    yield emulator.create_bucket(name.strip("-")[-60:].strip("-"))
    emulator.forget_clients()


def test_files_are_read_and_written(bucket: str) -> None:
    write_bytes(f"{bucket}/a/b.jpg", b"12345")
    odd = f"{bucket}/a/d e%20#1?x=ü+&.jpg"
    write_bytes(odd, b"1")
    assert read_bytes(f"{bucket}/a/b.jpg") == b"12345"
    assert read_range(f"{bucket}/a/b.jpg", 1, 2) == b"23"
    assert read_bytes(odd) == b"1"
    assert exists(f"{bucket}/a") and not exists(f"{bucket}/none")
    with as_local_file(f"{bucket}/a/b.jpg") as path:
        assert path.read_bytes() == b"12345"
    with scratch_folder(bucket) as folder:
        write_bytes(f"{folder}/x", b"")
    assert list(list_entries(bucket)) == ["a/b.jpg", "a/d e%20#1?x=ü+&.jpg"]
    for name in ("none.jpg", "none/none.jpg"):
        with pytest.raises(FileNotFoundError):
            read_bytes(f"{bucket}/{name}")
    remove(odd)
    remove(odd)
    require_writable(f"{bucket}/new")
    with pytest.raises(RequestError, match="cannot be written"):
        require_writable(f"{bucket}-absent/new")


def test_tags_tell_what_files_contain(bucket: str) -> None:
    """Each upload has an ETag of its own there, unlike on S3."""
    for name, payload in {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"1"}.items():
        write_bytes(f"{bucket}/{name}", payload)
    photos = list_photos(bucket)
    assert photos["tag"].null_count == 0
    assert mark_duplicates(photos)["duplicate_of"].to_pylist() == [None, None, "a.jpg"]
    before = list_entries(bucket)
    write_bytes(f"{bucket}/a.jpg", b"1")
    assert list_entries(bucket) == before


def test_one_of_several_runs_holds_the_lease(bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    lease = f"{bucket}/out/_run/lock.json"
    created: list[bool] = []
    threads = [
        threading.Thread(target=lambda: created.append(create_bytes(lease, b"{}")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]
    remove(lease)
    with caplog.at_level(logging.WARNING), hold_lease(lease, heartbeat_s=0.2):
        with pytest.raises(BusyError, match="holds the lease"), hold_lease(lease):
            pass
        assert "conditional" not in caplog.text
    assert not exists(lease)


HOLD_LEASE = """
import sys, time
from rayboot.io.lease import hold_lease
with hold_lease(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_lock(bucket: str) -> None:
    lease = f"{bucket}/out/_run/lock.json"
    command = [sys.executable, "-c", HOLD_LEASE, lease]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        holder.kill()
    assert exists(lease)
    with hold_lease(lease):
        pass
    assert not exists(lease)


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(bucket: str) -> None:
    photos = {f"{number:02}.jpg": bytes([number]) * 10 for number in range(20)}
    for name, payload in photos.items():
        write_bytes(f"{bucket}/photos/{name}", payload)
    output = f"{bucket}/packed"
    pack(prepare_pack(f"{bucket}/photos", output), executor=InProcessExecutor())
    # As a run leaves it that was killed between a file and the note that it is finished.
    remove(f"{output}/photos.index")
    (note,) = (name for name in list_entries(output, "_run/checkpoint") if ".parquet" in name)
    write_bytes(
        f"{output}/{note.replace('.parquet', '.pending.parquet')}", read_bytes(f"{output}/{note}")
    )
    remove(f"{output}/{note}")
    (part,) = (name for name in list_entries(output) if "/" not in name and ".parquet" in name)
    write_bytes(f"{output}/{part}", read_bytes(f"{output}/{part}")[:100])
    pack(prepare_pack(f"{bucket}/photos", output), executor=InProcessExecutor())
    assert not exists(f"{output}/{part}")
    rows = list_photos(output).to_pylist()
    fetched = PhotoFetcher().fetch(rows)
    assert {row["face_id"]: photo.photo for row, photo in zip(rows, fetched, strict=True)} == photos


# aiohttp warns that gcsfs sends each file in one piece.
in_one_piece = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

GENERATE = """
import sys
from rayboot.pipeline import generate
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from tests.field.test_clouds import pairs_config

generate.rows_per_block = lambda *_: 8
generate.generate(prepare_generate(pairs_config(*sys.argv[1:])), InProcessExecutor())
"""


def pairs_config(photos: str, output: str) -> GenerateConfig:
    return GenerateConfig(
        input=photos,
        output=output,
        selection={"detect_faces": False},
        views={"preset": "small"},
        pools={"batch_size": 4, "num_readers": 1},
    )


def read_rows(output: str) -> list[dict]:
    """Returns every row of a finished data set, images and occupancy included, by photo."""
    require_finished(output)
    rows = [
        row for name in list_row_files(output) for row in read_table(f"{output}/{name}").to_pylist()
    ]
    return sorted(rows, key=lambda row: row["face_id"])


def kill_after_first_block(command: list[str], output: str) -> list[str]:
    """Starts a run, kills it where it has written a part, and returns the files of that part."""
    with subprocess.Popen(command, start_new_session=True) as run:
        while not any(is_note(name) for name in list_entries(output, "_run/checkpoint")):
            assert run.poll() is None, "the run ended before it was killed"
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGKILL)
    assert not exists(f"{output}/manifest.json")
    return finished_files(output, list_row_files(output))


def is_note(name: str) -> bool:
    return name.endswith(".parquet") and not name.endswith(PENDING_SUFFIX)


def upload(folder: Path, uri: str) -> None:
    for path in folder.iterdir():
        write_bytes(f"{uri}/{path.name}", path.read_bytes())


@pytest.mark.egl
@in_one_piece
def test_a_killed_run_makes_the_same_pairs(bucket: str, tmp_path: Path, synthetic_set: str) -> None:
    photos, output, whole = (f"{bucket}/{name}" for name in ("photos", "pairs", "whole"))
    upload(mixed_folder(tmp_path / "photos", synthetic_set, num_good=16), photos)
    finished = kill_after_first_block([sys.executable, "-c", GENERATE, photos, output], output)
    assert finished
    before = {name: read_bytes(f"{output}/{name}") for name in finished}
    with pytest.raises(UnfinishedDataError, match=r"no manifest\.json"):
        require_finished(output)
    for place in (output, whole):
        generate(prepare_generate(pairs_config(photos, place)), InProcessExecutor())
    assert {name: read_bytes(f"{output}/{name}") for name in finished} == before
    rows = read_rows(output)
    assert len(rows) == len(list_photos(photos)) == len({row["face_id"] for row in rows})
    assert rows == read_rows(whole)
    assert require_finished(output).counts == require_finished(whole).counts
    assert not exists(f"{output}/_run/lock.json")


@pytest.mark.slow
def test_the_doctor_checks_these_stores(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"input: {bucket}/photos\noutput: {bucket}/pairs\n")
    requirements = read_requirements(config, {})
    assert set(requirements.storage_uris) == {f"{bucket}/photos", f"{bucket}/pairs"}
    with pytest.raises(FileNotFoundError, match="nothing is below"):
        _access_storage(f"{bucket}/photos", written=False)
    write_bytes(f"{bucket}/photos/a.jpg", b"1")
    _access_storage(f"{bucket}/photos", written=False)
    _access_storage(f"{bucket}/pairs", written=True)
    assert capsys.readouterr().out.splitlines() == [
        "can be listed, contains objects",
        "can be listed and written, is empty",
    ]
    assert list(list_entries(bucket)) == ["photos/a.jpg"]
    absent = check_storage(f"{bucket}-absent/pairs", written=True)
    assert absent.status == "FAIL" and "AWS" not in absent.remedy


# Google's emulator asks for no credentials.
with_azure = pytest.mark.parametrize("emulator", [AzureEmulator], indirect=True, ids=["abfs"])


@with_azure
def test_a_refused_file_of_azure_is_a_reject(
    emulator: AzureEmulator, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared access signature that may list and not read; people pass these on by mail."""
    from azure.storage.blob import generate_container_sas

    write_bytes(f"{bucket}/a.jpg", b"1")
    signature = generate_container_sas(
        AZURITE_ACCOUNT,
        bucket.removeprefix("abfs://"),
        AZURITE_KEY,
        permission="l",
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    connection = f"BlobEndpoint={emulator.endpoint_url};SharedAccessSignature={signature}"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    emulator.forget_clients()
    (refused,) = PhotoFetcher().fetch(list_photos(bucket).to_pylist())
    assert isinstance(refused, FaceRejectedError)
    assert (refused.stage, refused.reason) == ("read", "forbidden")
    with pytest.raises(AccessError, match="access refused"):
        retry_io(lambda: write_bytes(f"{bucket}/b.jpg", b"1"), bucket)
    with pytest.raises(Exception, match="ErrorCode:Auth") as error:
        write_bytes(f"{bucket}/b.jpg", b"1")
    assert not re.search(RETRIED_ERRORS, f"{type(error.value).__name__}: {error.value}")


@with_azure
def test_a_wrong_key_of_azure_ends_the_run(
    emulator: AzureEmulator, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = emulator.environment["AZURE_STORAGE_CONNECTION_STRING"]
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection.replace("Eby8", "Abcd"))
    emulator.forget_clients()
    with pytest.raises(StoreError, match="refuses the credentials"):
        retry_io(lambda: read_bytes(f"{bucket}/a.jpg"), bucket)


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is None, reason="needs the extra gcs (gcsfs)")
@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "x@y.iam does not have storage.objects.get access", AccessError),
        (401, "Anonymous caller does not have storage.objects.get access", StoreError),
    ],
)
def test_what_google_refuses_is_not_retried(status: int, message: str, kind: type) -> None:
    from gcsfs.retry import validate_response

    calls = []

    def read() -> None:
        calls.append(1)
        answer = f'{{"error": {{"code": {status}, "message": "{message}"}}}}'
        validate_response(status, answer, "b/photos/o/a.jpg")

    with pytest.raises(kind, match="refuse") as raised:
        retry_io(read, "gs://photos/a.jpg", timeout_s=5)
    assert len(calls) == 1
    cause = raised.value.__cause__
    if status == 403:
        assert not re.search(RETRIED_ERRORS, f"{type(cause).__name__}: {cause}")
