"""One way to local paths, ``s3://`` and every other store that fsspec knows.

Credentials and endpoints come from each store's standard chain (for S3 the AWS
variables, ``AWS_ENDPOINT_URL`` included, its files and roles): none is ever in a
config.
"""

import os
import posixpath
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

from rayboot.errors import RequestError

__all__ = [
    "arrow_filesystem",
    "exists",
    "join_uri",
    "list_files",
    "list_sizes",
    "open_file",
    "read_bytes",
    "require_writable",
    "write_bytes",
]


def join_uri(uri: str, *names: str) -> str:
    """``uri`` with names below it."""
    return posixpath.join(uri.rstrip("/"), *names)


def _open(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        # Other processes write too: a listing that is kept would hide what they wrote.
        return url_to_fs(uri, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise RequestError(f"{uri}: no such kind of store ({error})") from error


def arrow_filesystem(uri: str) -> tuple[Any, str]:
    """The PyArrow file system and the path within it, as Ray Data takes them."""
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        return LocalFileSystem(), path
    return PyFileSystem(FSSpecHandler(filesystem)), path


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def exists(uri: str) -> bool:
    """Whether a file, or a folder with something in it, is there."""
    filesystem, path = _open(uri)
    return bool(filesystem.exists(path))


def list_sizes(uri: str, below: str = "") -> dict[str, int]:
    """Files under ``uri``/``below`` with their bytes, by path relative to ``uri``, sorted.

    Links to folders are followed; what is not there has no files.

    Raises:
        OSError: a folder may not be read.
    """
    filesystem, root = _open(uri)
    folder = posixpath.join(root, below).rstrip("/")
    if "file" in _protocols(filesystem):
        sizes = _local_sizes(folder)
    else:
        found = filesystem.find(folder, detail=True)
        # Some S3 servers list the folders that they keep.
        sizes = {
            path: int(info["size"]) for path, info in found.items() if info["type"] != "directory"
        }
    return {posixpath.relpath(path, root): sizes[path] for path in sorted(sizes)}


def _local_sizes(folder: str) -> dict[str, int]:
    """fsspec would take a link to a folder for a file, and skip folders that it may not read."""

    def complain(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    sizes, seen = {}, set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=complain):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        for path in (os.path.join(parent, name) for name in files):
            try:
                sizes[path] = os.stat(path).st_size
            except FileNotFoundError:  # a broken link is listed; a file just removed is not
                if os.path.islink(path):
                    sizes[path] = 0
    return sizes


def list_files(uri: str, below: str = "") -> list[str]:
    """Files under ``uri``/``below``, as sorted paths relative to ``uri``."""
    return list(list_sizes(uri, below))


def read_bytes(uri: str) -> bytes:
    """The whole content of a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    filesystem, path = _open(uri)
    return filesystem.cat_file(path)


def open_file(uri: str) -> BinaryIO:
    """An open file, read where it is asked to: a part of a large one costs that part.

    Raises:
        FileNotFoundError: it is not there.
    """
    filesystem, path = _open(uri)
    return filesystem.open(path, "rb")


def write_bytes(uri: str, payload: bytes) -> None:
    """Writes a file as a whole or not at all, making its folder.

    Locally it is written aside and renamed; an object store puts it at once.
    """
    filesystem, path = _open(uri)
    if "file" not in _protocols(filesystem):
        filesystem.pipe_file(path, payload)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
        # mkstemp makes files private; data sets are for the team.
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def require_writable(uri: str) -> None:
    """Writes and removes a small file.

    Raises:
        RequestError: that failed; the reason is named.
    """
    probe = join_uri(uri, ".rayboot-write-test")
    try:
        write_bytes(probe, b"")
        filesystem, path = _open(probe)
        filesystem.rm_file(path)
    except Exception as error:  # every store has errors of its own
        raise RequestError(
            f"output {uri}: cannot be written ({type(error).__name__}: {error}); "
            "check the path, its permissions and the store's credentials"
        ) from error
