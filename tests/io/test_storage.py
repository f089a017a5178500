import os
import stat

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def folder(request, tmp_path, monkeypatch):
    """An empty place to write to, in every kind of store."""
    if request.param == "local":
        return str(tmp_path / "set")
    server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # A bucket of its own: the server is one for all tests.
    bucket = f"storage-{abs(hash(request.node.name)) % 10**8}"
    another_client("s3").call_s3("create_bucket", Bucket=bucket)
    return f"s3://{bucket}/set"


def sizes_of(uri, below=""):
    return {name: entry.num_bytes for name, entry in list_entries(uri, below).items()}


def another_client(protocol):
    """The store as another process sees it, without this one's caches."""
    return fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)


def test_names_are_joined_whatever_the_uri_ends_in():
    assert join_uri("s3://bucket/set", "a", "b.jpg") == "s3://bucket/set/a/b.jpg"
    assert join_uri("s3://bucket/set/", "a") == "s3://bucket/set/a"
    assert join_uri("set", "a") == "set/a"


def test_a_file_is_had_locally(folder):
    uri = join_uri(folder, "weights.safetensors")
    write_bytes(uri, b"numbers")
    with as_local_file(uri) as path:
        assert path.name == "weights.safetensors"
        assert path.read_bytes() == b"numbers"
    assert read_bytes(uri) == b"numbers"
    with pytest.raises(FileNotFoundError), as_local_file(join_uri(folder, "none")) as path:
        path.read_bytes()


def test_what_is_written_is_read(folder):
    uri = join_uri(folder, "deep", "er", "file.bin")
    assert not exists(uri)
    write_bytes(uri, b"first")
    write_bytes(uri, b"second")
    assert read_bytes(uri) == b"second"
    assert exists(uri) and exists(folder)
    with open_file(uri) as file:
        file.seek(3)
        assert file.read(2) == b"on"


def test_a_scratch_folder_leaves_nothing(folder):
    write_bytes(join_uri(folder, "kept"), b"1")
    with scratch_folder(folder) as scratch:
        assert scratch.startswith("s3://") == folder.startswith("s3://")
        assert list_files(scratch) == []
        write_bytes(join_uri(scratch, "a", "b"), b"2")
        assert list_files(scratch) == ["a/b"]
    assert not exists(join_uri(scratch, "a", "b"))
    assert list_files(folder) == ["kept"]


def test_links_to_folders_and_files_are_followed(tmp_path):
    write_bytes(str(tmp_path / "elsewhere" / "a.jpg"), b"12345")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "videos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    assert sizes_of(str(tmp_path / "set")) == {"b.jpg": 5, "broken.jpg": 0, "videos/a.jpg": 5}


def test_an_empty_file_is_a_file(folder):
    write_bytes(join_uri(folder, "empty"), b"")
    assert read_bytes(join_uri(folder, "empty")) == b""
    assert sizes_of(folder) == {"empty": 0}


def test_files_are_listed_by_relative_name_in_order(folder):
    for name in ("b/2.jpg", "a.jpg", "b/1 with space.jpg", "c/d/ä.jpg"):
        write_bytes(join_uri(folder, name), name.encode())
    assert list_files(folder) == ["a.jpg", "b/1 with space.jpg", "b/2.jpg", "c/d/ä.jpg"]
    assert list_files(folder, "b") == ["b/1 with space.jpg", "b/2.jpg"]
    assert list_files(folder + "/", "b/") == ["b/1 with space.jpg", "b/2.jpg"]
    assert sizes_of(folder)["a.jpg"] == 5
    assert list_files(folder, "nothing") == []


def test_a_listing_is_never_an_old_one(folder):
    # Workers write while the driver looks again and again.
    assert list_files(folder) == [] and not exists(join_uri(folder, "manifest.json"))
    write_bytes(join_uri(folder, "mine"), b"1")
    assert list_files(folder) == ["mine"]
    protocol, _, path = folder.rpartition("://")
    client = another_client(protocol or "file")
    client.pipe_file(f"{path}/theirs", b"2")
    assert list_files(folder) == ["mine", "theirs"]
    assert exists(join_uri(folder, "theirs"))
    client.rm_file(f"{path}/mine")
    assert list_files(folder) == ["theirs"] and not exists(join_uri(folder, "mine"))


def test_a_missing_file_is_said_to_be_missing(folder):
    with pytest.raises(FileNotFoundError):
        read_bytes(join_uri(folder, "absent"))
    with pytest.raises(FileNotFoundError):
        open_file(join_uri(folder, "absent"))


def test_arrow_sees_the_same_files(folder):
    filesystem, path = arrow_filesystem(folder)
    table = pa.table({"face_id": ["a", "b"]})
    filesystem.create_dir(path, recursive=True)
    pq.write_table(table, f"{path}/part.parquet", filesystem=filesystem)
    assert list_files(folder) == ["part.parquet"]
    again = pq.read_table(f"{path}/part.parquet", filesystem=filesystem)
    assert again.equals(table)


def test_a_writable_place_stays_empty(folder):
    require_writable(folder)
    assert list_files(folder) == []


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    target = tmp_path / "manifest.json"
    write_bytes(str(target), b"old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_files_are_for_the_team(tmp_path):
    before = os.umask(0o022)
    try:
        write_bytes(str(tmp_path / "file"), b"1")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_an_unwritable_place_is_refused(tmp_path):
    # A file where the folder should be stops root too, unlike permissions.
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="output .*/file/set: cannot be written"):
        require_writable(str(tmp_path / "file" / "set"))


@pytest.mark.s3
def test_wrong_credentials_are_refused(s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    clients = fsspec.get_filesystem_class("s3")
    clients.clear_instance_cache()
    try:
        with pytest.raises(RequestError, match="s3://ready/set: cannot be written.*credentials"):
            require_writable("s3://ready/set")
    finally:
        clients.clear_instance_cache()


def test_an_unknown_kind_of_store_is_refused():
    for use in (list_files, read_bytes, exists, require_writable, arrow_filesystem):
        with pytest.raises(RequestError, match="nostore://somewhere"):
            use("nostore://somewhere/set")


@pytest.mark.s3
def test_a_photo_is_one_request(s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = s3_server.filesystem()
    store.call_s3("create_bucket", Bucket="one-request")
    write_bytes("s3://one-request/a.jpg", b"photo")
    clients, asked = fsspec.get_filesystem_class("s3"), []
    call = clients._call_s3

    async def noted(self, method, *args, **options):
        asked.append(method)
        return await call(self, method, *args, **options)

    monkeypatch.setattr(clients, "_call_s3", noted)
    assert read_bytes("s3://one-request/a.jpg") == b"photo"
    assert asked == ["get_object"]
    with pytest.raises(FileNotFoundError):
        read_bytes("s3://one-request/b.jpg")
