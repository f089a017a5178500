"""One way to local paths, ``s3://`` and every other store that fsspec knows.

Credentials and endpoints come from each store's standard chain (for S3 the AWS
variables, ``AWS_ENDPOINT_URL`` included, its files and roles): none is ever in a
config.
"""

import contextlib
import os
import posixpath
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fsspec
from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

from rayboot.errors import RequestError
from rayboot.io.retry import retry_io

__all__ = [
    "Entry",
    "arrow_filesystem",
    "as_local_file",
    "create_bytes",
    "exists",
    "join_below",
    "join_uri",
    "list_entries",
    "list_files",
    "open_file",
    "read_bytes",
    "read_range",
    "remove",
    "require_writable",
    "scratch_folder",
    "write_bytes",
]


_AHEAD = 4 * 2**20


def join_uri(uri: str, *names: str) -> str:
    """``uri`` with names below it."""
    return posixpath.join(uri.rstrip("/"), *names)


def join_below(uri: str, name: str) -> str:
    """``uri`` with a name that came with somebody's data, which may not lead out of it.

    Raises:
        ValueError: the name is absolute or climbs up.
    """
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ValueError(f"the name {name!r} leads out of {uri}")
    return join_uri(uri, name)


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


class Entry(NamedTuple):
    """A file of a listing.

    Attributes:
        num_bytes: its size.
        tag: of its content, where the store keeps one: equal tags of equal sizes are equal
            files. None on local disks, and where the store cut an upload in parts.
    """

    num_bytes: int
    tag: str | None = None


def list_entries(uri: str, below: str = "") -> dict[str, Entry]:
    """Files under ``uri``/``below``, by path relative to ``uri``, sorted.

    Links to folders are followed; what is not there has no files.

    Raises:
        OSError: a folder may not be read.
    """
    filesystem, root = _open(uri)
    folder = posixpath.join(root, below).rstrip("/")
    if "file" in _protocols(filesystem):
        entries = {path: Entry(size) for path, size in _local_sizes(folder).items()}
    else:
        found = filesystem.find(folder, detail=True)
        entries = {}
        while found:  # of millions of files not everything is held twice
            path, info = found.popitem()
            # Some S3 servers list the folders that they keep.
            if info["type"] != "directory":
                entries[path] = Entry(int(info["size"]), _tag_of(info))
    return {_relative(path, root): entries.pop(path) for path in sorted(entries)}


def _relative(path: str, root: str) -> str:
    prefix = f"{root.rstrip('/')}/"
    # The general way takes as long as everything else that is done for a file.
    return path[len(prefix) :] if path.startswith(prefix) else posixpath.relpath(path, root)


def _tag_of(info: dict[str, Any]) -> str | None:
    tag = str(info.get("ETag") or info.get("etag") or info.get("md5Hash") or "").strip('"')
    # That of an upload in parts depends on how it was cut.
    return tag if tag and "-" not in tag else None


def _local_sizes(folder: str) -> dict[str, int]:
    """fsspec would take a link to a folder for a file, and skip folders that it may not read."""

    def print_error(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    if os.path.isfile(folder):
        return {folder: os.stat(folder).st_size}
    sizes, seen = {}, set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=print_error):
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
    return list(list_entries(uri, below))


def read_bytes(uri: str) -> bytes:
    """The whole content of a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    filesystem, path = _open(uri)
    # s3fs asks for the size first, to fetch large files in parts side by side: for photos that
    # is a second request, and a second wait, each.
    options = {"max_concurrency": 1} if "s3" in _protocols(filesystem) else {}
    return filesystem.cat_file(path, **options)


def read_range(uri: str, start: int, length: int) -> bytes:
    """A part of a file.

    Raises:
        FileNotFoundError: it is not there.
    """
    filesystem, path = _open(uri)
    return filesystem.cat_file(path, start=start, end=start + length)


def open_file(uri: str, *, in_order: bool = False) -> BinaryIO:
    """An open file, read where it is asked to: a part of a large one costs that part.

    Args:
        uri: of the file.
        in_order: it will be read from its start on, in many small pieces: some megabytes are
            fetched ahead.

    Raises:
        FileNotFoundError: it is not there.
    """
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        return filesystem.open(path, "rb")
    # By default s3fs fetches 50 MB beyond whatever is asked for.
    if in_order:
        return filesystem.open(path, "rb", cache_type="readahead", block_size=_AHEAD)
    return filesystem.open(path, "rb", cache_type="none")


@contextmanager
def as_local_file(uri: str) -> Iterator[Path]:
    """The path of a file for those who read from local disks alone; a copy if it lies elsewhere.

    Raises:
        FileNotFoundError: it is not there.
        StoreError: the store is in trouble for long.
    """
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="rayboot-copy-") as folder:
        copy = Path(folder, posixpath.basename(path))
        retry_io(lambda: filesystem.get_file(path, str(copy)), uri)
        yield copy


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


def create_bytes(uri: str, payload: bytes) -> bool:
    """Writes a file only if there is none; of several that try at once, one succeeds.

    Returns:
        Whether this call made it.
    """
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        return _create_local(Path(path), payload)
    try:
        filesystem.pipe_file(path, payload, mode="create")
    except OSError as error:
        # s3fs has no class for a condition that does not hold.
        if isinstance(error, FileExistsError) or "PreconditionFailed" in str(error.__cause__):
            return False
        raise
    return True


def _create_local(target: Path, payload: bytes) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
        # A link appears with its content, and never in place of another file.
        os.link(aside, target)
    except FileExistsError:
        return False
    finally:
        os.unlink(aside)
    return True


def remove(uri: str) -> None:
    """Removes a file; one that is gone already is no error."""
    filesystem, path = _open(uri)
    with contextlib.suppress(FileNotFoundError):
        filesystem.rm_file(path)


@contextmanager
def scratch_folder(near: str | None) -> Iterator[str]:
    """An empty folder for the time of a ``with`` block.

    Args:
        near: a URI; the folder lies below it if that is in a store, so that whatever machine
            can read the one can read the other. A local folder otherwise.
    """
    if near is None or "://" not in near:
        with tempfile.TemporaryDirectory(prefix="rayboot-") as folder:
            yield folder
        return
    folder = join_uri(near, f"_scratch-{uuid.uuid4().hex[:8]}")
    try:
        yield folder
    finally:
        for name in list_files(folder):
            remove(join_uri(folder, name))


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
