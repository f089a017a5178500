import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.registry import _registry

from rayboot.errors import RequestError
from rayboot.io.storage import (
    arrow_filesystem,
    as_local_file,
    exists,
    join_uri,
    list_entries,
    list_files,
    open_file,
    read_bytes,
    require_writable,
    scratch_folder,
    write_bytes,
)
from tests.s3 import S3Server


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty folder, on the local disk and in S3."""
    if request.param == "local":
        return str(tmp_path / "set")
    server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # Each test has a bucket of its own, because all tests use the same server.
    bucket = f"storage-{abs(hash(request.node.name)) % 10**8}"
    uncached_client("s3").call_s3("create_bucket", Bucket=bucket)
    return f"s3://{bucket}/set"


def sizes_of(uri: str, below: str = "") -> dict[str, int]:
    return {name: entry.num_bytes for name, entry in list_entries(uri, below).items()}


def uncached_client(protocol: str) -> fsspec.AbstractFileSystem:
    """A client like that of another process, which does not share caches with this one."""
    return fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)


def test_names_are_joined_with_and_without_a_slash_at_the_end() -> None:
    assert join_uri("s3://bucket/set", "a", "b.jpg") == "s3://bucket/set/a/b.jpg"
    assert join_uri("s3://bucket/set/", "a") == "s3://bucket/set/a"
    assert join_uri("set", "a") == "set/a"


def test_a_file_of_a_store_is_copied_to_a_local_path(folder: str) -> None:
    uri = join_uri(folder, "weights.safetensors")
    write_bytes(uri, b"numbers")
    with as_local_file(uri) as path:
        assert path.name == "weights.safetensors"
        assert path.read_bytes() == b"numbers"
    assert read_bytes(uri) == b"numbers"
    with pytest.raises(FileNotFoundError), as_local_file(join_uri(folder, "none")) as path:
        path.read_bytes()


def test_a_file_is_read_as_it_was_written(folder: str) -> None:
    uri = join_uri(folder, "deep", "er", "file.bin")
    assert not exists(uri)
    write_bytes(uri, b"first")
    write_bytes(uri, b"second")
    assert read_bytes(uri) == b"second"
    assert exists(uri) and exists(folder)
    with open_file(uri) as file:
        file.seek(3)
        assert file.read(2) == b"on"


def test_a_scratch_folder_is_removed(folder: str) -> None:
    write_bytes(join_uri(folder, "kept"), b"1")
    with scratch_folder(folder) as scratch:
        assert scratch.startswith("s3://") == folder.startswith("s3://")
        assert list_files(scratch) == []
        write_bytes(join_uri(scratch, "a", "b"), b"2")
        assert list_files(scratch) == ["a/b"]
    assert not exists(join_uri(scratch, "a", "b"))
    assert list_files(folder) == ["kept"]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write_bytes(str(tmp_path / "elsewhere" / "a.jpg"), b"12345")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "videos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    assert sizes_of(str(tmp_path / "set")) == {"b.jpg": 5, "broken.jpg": 0, "videos/a.jpg": 5}


def test_an_empty_file_is_listed_and_read(folder: str) -> None:
    write_bytes(join_uri(folder, "empty"), b"")
    assert read_bytes(join_uri(folder, "empty")) == b""
    assert sizes_of(folder) == {"empty": 0}


def test_files_are_listed_by_relative_name_in_order(folder: str) -> None:
    for name in ("b/2.jpg", "a.jpg", "b/1 with space.jpg", "c/d/ä.jpg"):
        write_bytes(join_uri(folder, name), name.encode())
    assert list_files(folder) == ["a.jpg", "b/1 with space.jpg", "b/2.jpg", "c/d/ä.jpg"]
    assert list_files(folder, "b") == ["b/1 with space.jpg", "b/2.jpg"]
    assert list_files(folder + "/", "b/") == ["b/1 with space.jpg", "b/2.jpg"]
    assert sizes_of(folder)["a.jpg"] == 5
    assert list_files(folder, "nothing") == []


def test_a_listing_is_never_cached(folder: str) -> None:
    # Workers write files while the driver lists them repeatedly.
    assert list_files(folder) == [] and not exists(join_uri(folder, "manifest.json"))
    write_bytes(join_uri(folder, "mine"), b"1")
    assert list_files(folder) == ["mine"]
    protocol, _, path = folder.rpartition("://")
    client = uncached_client(protocol or "file")
    client.pipe_file(f"{path}/theirs", b"2")
    assert list_files(folder) == ["mine", "theirs"]
    assert exists(join_uri(folder, "theirs"))
    client.rm_file(f"{path}/mine")
    assert list_files(folder) == ["theirs"] and not exists(join_uri(folder, "mine"))


def test_a_missing_file_raises_file_not_found(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_bytes(join_uri(folder, "absent"))
    with pytest.raises(FileNotFoundError):
        open_file(join_uri(folder, "absent"))


def test_arrow_reads_and_writes_the_same_files(folder: str) -> None:
    filesystem, path = arrow_filesystem(folder)
    table = pa.table({"face_id": ["a", "b"]})
    filesystem.create_dir(path, recursive=True)
    pq.write_table(table, f"{path}/part.parquet", filesystem=filesystem)
    assert list_files(folder) == ["part.parquet"]
    again = pq.read_table(f"{path}/part.parquet", filesystem=filesystem)
    assert again.equals(table)


def test_a_check_that_files_can_be_written_leaves_no_file(folder: str) -> None:
    require_writable(folder)
    assert list_files(folder) == []


def test_a_failed_write_does_not_change_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "manifest.json"
    write_bytes(str(target), b"old")

    def fail(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_bytes(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(str(tmp_path / "file"), b"1")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # A file in place of the folder stops root as well, unlike permissions.
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match=r"output .*/file/set: cannot be written"):
        require_writable(str(tmp_path / "file" / "set"))


@pytest.mark.s3
def test_wrong_credentials_are_refused(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    clients = fsspec.get_filesystem_class("s3")
    clients.clear_instance_cache()
    try:
        with pytest.raises(RequestError, match=r"s3://ready/set: cannot be written.*credentials"):
            require_writable("s3://ready/set")
    finally:
        clients.clear_instance_cache()


@pytest.mark.parametrize(
    "function", [list_files, read_bytes, exists, require_writable, arrow_filesystem]
)
def test_an_unknown_protocol_is_refused(function: Callable[[str], Any]) -> None:
    with pytest.raises(RequestError, match=r"nostore://somewhere.*Protocol not known: nostore"):
        function("nostore://somewhere/set")


@pytest.mark.parametrize(("protocol", "package"), [("gs", "gcsfs"), ("abfs", "adlfs")])
def test_the_package_of_a_protocol_that_is_not_installed_is_named(
    protocol: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes the import fail even where the package is installed; fsspec keeps classes that it
    # has imported before.
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(_registry, protocol, raising=False)
    message = f"{protocol}://bucket/set: {protocol}:// needs a package.*(?i:install {package})"
    with pytest.raises(RequestError, match=message):
        read_bytes(f"{protocol}://bucket/set")


@pytest.mark.s3
def test_a_photo_is_read_with_one_request(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = s3_server.filesystem()
    store.call_s3("create_bucket", Bucket="one-request")
    write_bytes("s3://one-request/a.jpg", b"photo")
    client, requests = fsspec.get_filesystem_class("s3"), []
    call = client._call_s3

    async def record(self: Any, method: str, *args: Any, **options: Any) -> Any:
        requests.append(method)
        return await call(self, method, *args, **options)

    monkeypatch.setattr(client, "_call_s3", record)
    assert read_bytes("s3://one-request/a.jpg") == b"photo"
    assert requests == ["get_object"]
    with pytest.raises(FileNotFoundError):
        read_bytes("s3://one-request/b.jpg")
