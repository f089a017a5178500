"""Access to local paths, ``s3://`` and every other protocol of fsspec, with the same functions.

Credentials and endpoints come from the standard chain of each store (for S3 the AWS
variables, ``AWS_ENDPOINT_URL`` included, its files and roles): none is in a config.
"""

import contextlib
import errno
import os
import posixpath
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fsspec
from fsspec.core import url_to_fs
from fsspec.utils import get_protocol
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

from rayboot.errors import RequestError
from rayboot.io.paths import (
    escape_path,
    escape_undecodable,
    has_protocol,
    is_chained,
    unescape_path,
)
from rayboot.io.retry import retry_io
from rayboot.io.s3_access import s3_options

__all__ = [
    "Entry",
    "absolute_uri",
    "arrow_filesystem",
    "as_local_file",
    "create_bytes",
    "exists",
    "has_entries",
    "join_below",
    "join_uri",
    "list_entries",
    "list_files",
    "locate",
    "open_file",
    "read_bytes",
    "read_range",
    "remove",
    "require_writable",
    "scratch_folder",
    "write_bytes",
]

_READ_AHEAD_BYTES = 4 * 2**20

_EXTRAS = {
    **dict.fromkeys(("gs", "gcs"), "; run `pip install 'rayboot[gcs]'`"),
    **dict.fromkeys(("abfs", "abfss", "az"), "; run `pip install 'rayboot[azure]'`"),
}
"""Extras of rayboot that bring the package of a protocol, as the end of a sentence."""

_PROBE_NAME = ".rayboot-write-test"

_TEMPORARY_PREFIX_CHARS = 32
"""Number of characters of a file's name that the name of its temporary file begins with."""


def join_uri(uri: str, *names: str) -> str:
    """Returns ``uri`` with further path components."""
    return posixpath.join(uri.rstrip("/") or uri, *names)


def join_below(uri: str, name: str) -> str:
    """Returns ``uri`` joined with a relative path from untrusted data, which must stay below it.

    Raises:
        ValueError: the path is absolute or contains ``..``.
    """
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ValueError(f"expected a path below {uri}, got {name!r}")
    return join_uri(uri, name)


def _open(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    # gcsfs would ask for the kind of every bucket, and warn each time where it may not know.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        # Other processes write too: a cached listing would hide their files.
        if is_chained(uri):
            filesystem, path = url_to_fs(uri, use_listings_cache=False)
        else:
            filesystem, path = _open_single(uri)
    except ImportError as error:
        # fsspec knows the package of every protocol, and names it in the error.
        raise RequestError(
            f"{uri}: {get_protocol(uri)}:// needs a package that is not installed: {error}"
            f"{_EXTRAS.get(get_protocol(uri), '')}"
        ) from error
    except ValueError as error:
        raise RequestError(
            f"{uri}: expected a local path, s3://... or another protocol of fsspec ({error})"
        ) from error
    is_local = "file" in _protocols(filesystem)
    return filesystem, unescape_path(str(path)) if is_local else str(path)


def _open_single(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Opens a URI without a chain; fsspec would take each ``::`` in a file name for one."""
    protocol = get_protocol(uri) if has_protocol(uri) else "file"
    kind = fsspec.get_filesystem_class(protocol)
    options = {**kind._get_kwargs_from_urls(uri), "use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options |= s3_options()
    return fsspec.filesystem(protocol, **options), kind._strip_protocol(uri)


def _open_regular(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Opens the URI of a file to read, which must be no pipe: reading one could wait for ever."""
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.ENODEV, "a pipe, socket or device instead of a file", path)
    return filesystem, path


def locate(uri: str) -> tuple[str, str]:
    """Returns the store of a URI, ``file`` for a local path, and the path in it.

    Spellings of one protocol name one store. Of a chain, what matters is where its end leads.
    """
    filesystem, path = _open(uri.split("::")[-1] if is_chained(uri) else uri)
    protocols = _protocols(filesystem)
    return ("file", path) if "file" in protocols else (protocols[0], path.rstrip("/"))


def absolute_uri(uri: str) -> str:
    """Returns the URI for processes in other folders: a local path made absolute, others as is."""
    filesystem, path = _open(uri)
    return escape_path(path) if "file" in _protocols(filesystem) else uri


def arrow_filesystem(uri: str) -> tuple[Any, str]:
    """Returns the PyArrow file system of a URI and the path in it, as Ray Data expects them."""
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        return LocalFileSystem(), path
    return PyFileSystem(FSSpecHandler(filesystem)), path


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def exists(uri: str) -> bool:
    """Whether a file, or a folder that is not empty, exists."""
    filesystem, path = _open(uri)
    return bool(filesystem.exists(path))


def has_entries(uri: str) -> bool:
    """Whether a folder has files or folders; unlike :func:`exists`, a refused access raises."""
    filesystem, path = _open(uri)
    try:
        return bool(filesystem.ls(path, detail=False))
    except FileNotFoundError:
        return False


class Entry(NamedTuple):
    """A file in a listing.

    Attributes:
        num_bytes: size of the file.
        tag: hash of the content (ETag of S3, MD5 of others), if the store has one: files of equal
            size and tag are equal. None on local disks, and for uploads in parts.
    """

    num_bytes: int
    tag: str | None = None


def list_entries(uri: str, below: str = "") -> dict[str, Entry]:
    """Lists the files below a folder, by path relative to ``uri``, sorted.

    Links to folders are followed. A folder that does not exist has no files. Local names that
    are no UTF-8 are escaped, see :mod:`rayboot.io.paths`.

    Args:
        uri: URI that the paths are relative to.
        below: folder to list, relative to ``uri``; all files by default.

    Raises:
        OSError: a folder cannot be read.
    """
    filesystem, root = _open(uri)
    is_local = "file" in _protocols(filesystem)
    folder = posixpath.join(root, unescape_path(below) if is_local else below).rstrip("/")
    if is_local:
        root = escape_path(root)
        entries = {escape_path(path): Entry(size) for path, size in _local_sizes(folder).items()}
    else:
        listing = filesystem.find(folder, detail=True)
        entries = {}
        while listing:  # popping keeps millions of files from being in memory twice
            path, info = listing.popitem()
            # Some S3 servers list folders as objects.
            if info["type"] != "directory":
                entries[path] = Entry(int(info["size"]), _tag_of(info))
    return {_relative(path, root): entries.pop(path) for path in sorted(entries)}


def _relative(path: str, root: str) -> str:
    prefix = f"{root.rstrip('/')}/"
    # posixpath.relpath takes as long as everything else that is done for a file.
    return path[len(prefix) :] if path.startswith(prefix) else posixpath.relpath(path, root)


def _tag_of(info: dict[str, Any]) -> str | None:
    # An "etag" of Google or Azure names a version of the file: copies of it have others.
    md5 = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5")
    if isinstance(md5, bytes | bytearray):
        return md5.hex()
    tag = str(md5 or info.get("ETag") or "").strip('"')
    # The ETag of a multipart upload (it contains a hyphen) depends on the sizes of the parts.
    return tag if tag and "-" not in tag else None


def _local_sizes(folder: str) -> dict[str, int]:
    """Sizes of local files by path.

    fsspec would list a link to a folder as a file, and skip folders that it cannot read.
    """

    def raise_unless_missing(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    if Path(folder).is_file():
        return {folder: Path(folder).stat().st_size}
    sizes, visited = {}, set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=raise_unless_missing):
        # Of a folder and a link to it the folder is listed, in every run.
        folders.sort(key=lambda name: (Path(parent, name).is_symlink(), name))
        real = os.path.realpath(parent)
        if real in visited:  # a link to one of its own parents
            folders.clear()
            continue
        visited.add(real)
        for path in (f"{parent}/{name}" for name in files):
            try:
                # A Path for each of millions of files would take longer than the call itself.
                sizes[path] = os.stat(path).st_size  # noqa: PTH116
            except OSError as error:
                # A broken link, or one of a ring of links, is listed; a file just removed is not.
                if not isinstance(error, FileNotFoundError) and error.errno != errno.ELOOP:
                    raise
                if Path(path).is_symlink():
                    sizes[path] = 0
    return sizes


def list_files(uri: str, below: str = "") -> list[str]:
    """Lists the files below a folder as sorted paths, see :func:`list_entries`."""
    return list(list_entries(uri, below))


def read_bytes(uri: str) -> bytes:
    """Returns the content of a file.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: a pipe or device has its name.
    """
    filesystem, path = _open_regular(uri)
    # By default s3fs requests the size first, to fetch large files in concurrent parts: for
    # photos that doubles the number of requests and the latency.
    options = {"max_concurrency": 1} if "s3" in _protocols(filesystem) else {}
    content: bytes = filesystem.cat_file(path, **options)
    return content


def read_range(uri: str, start: int, length: int) -> bytes:
    """Returns ``length`` bytes of a file, from byte ``start`` on.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: a pipe or device has its name.
    """
    filesystem, path = _open_regular(uri)
    content: bytes = filesystem.cat_file(path, start=start, end=start + length)
    return content


def open_file(uri: str, *, sequential: bool = False) -> BinaryIO:
    """Opens a file for reading; only the parts that are read are fetched.

    Args:
        uri: URI of the file.
        sequential: whether the file will be read from its start on in many small pieces;
            some megabytes are then fetched ahead.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: a pipe or device has its name.
    """
    filesystem, path = _open_regular(uri)
    options: dict[str, Any] = {}
    # By default s3fs fetches 50 MB beyond the requested range.
    if "file" not in _protocols(filesystem):
        options = {"cache_type": "none"}
        if sequential:
            options = {"cache_type": "readahead", "block_size": _READ_AHEAD_BYTES}
    file: BinaryIO = filesystem.open(path, "rb", **options)
    return file


@contextmanager
def as_local_file(uri: str) -> Iterator[Path]:
    """Yields a local path of a file, for libraries that read local files only.

    A file in a store is copied to a temporary folder for the time of the ``with`` block.

    Raises:
        FileNotFoundError: the file does not exist.
        StoreError: the store was unavailable for too long.
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
    """Writes a file completely or not at all, and creates its folder.

    A local file is written under a temporary name and renamed; a put to an object store is
    atomic.
    """
    filesystem, path = _open(uri)
    if "file" not in _protocols(filesystem):
        filesystem.pipe_file(path, payload)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_temporary_prefix(target))
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
        # mkstemp creates private files; data sets are shared within a team.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary_prefix(target: Path) -> str:
    # A name may have 255 bytes, and the temporary one is no longer than that.
    return f".{target.name[:_TEMPORARY_PREFIX_CHARS]}."


def create_bytes(uri: str, payload: bytes) -> bool:
    """Creates a file that does not exist; of several concurrent calls one succeeds.

    Returns:
        Whether this call created the file.
    """
    filesystem, path = _open(uri)
    if "file" in _protocols(filesystem):
        return _create_local(Path(path), payload)
    try:
        filesystem.pipe_file(path, payload, mode="create")
    except OSError as error:
        # s3fs has no exception class for a failed precondition.
        if isinstance(error, FileExistsError) or "PreconditionFailed" in str(error.__cause__):
            return False
        raise
    return True


def _create_local(target: Path, payload: bytes) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_temporary_prefix(target))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
        # A hard link appears together with its content, and never replaces another file.
        os.link(name, target)
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    return True


def remove(uri: str) -> None:
    """Removes a file; it is not an error if the file does not exist."""
    filesystem, path = _open(uri)
    with contextlib.suppress(FileNotFoundError):
        filesystem.rm_file(path)


@contextmanager
def scratch_folder(near: str | None) -> Iterator[str]:
    """Yields the URI of an empty folder, which is removed after the ``with`` block.

    Args:
        near: URI of a folder. If it is in a store, the scratch folder is created below it,
            so that all machines that can read the one can read the other. Otherwise, and
            for None, the scratch folder is local.
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


def _existing_folder(path: Path) -> Path:
    """Returns a folder, or the closest of its parents that exists.

    Raises:
        OSError: a file has the name of one of them, or a name is too long.
    """
    for folder in (path, *path.parents):
        # Unlike is_dir(), this raises where a name is too long or a folder cannot be entered.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "a file instead of a folder", str(folder))
            return folder
    return path


def require_writable(uri: str) -> None:
    """Checks that files can be written below a URI, by writing and removing a small file.

    No folder is created: a request that is refused later leaves nothing behind.

    Raises:
        RequestError: the file cannot be written, or the folder's name is no UTF-8; the message
            contains the reason.
    """
    if uri != escape_undecodable(uri) or unescape_path(uri) != uri:
        raise RequestError(
            f"output {escape_undecodable(uri)}: expected a folder whose name is UTF-8, since names "
            "of files are stored in tables; choose another output"
        )
    try:
        filesystem, path = _open(uri)
        folder = str(_existing_folder(Path(path))) if "file" in _protocols(filesystem) else path
        probe = posixpath.join(folder, _PROBE_NAME)
        filesystem.pipe_file(probe, b"")
        filesystem.rm_file(probe)
    except Exception as error:  # every store has exception classes of its own
        raise RequestError(
            f"output {uri}: cannot be written ({type(error).__name__}: {error}); "
            "check the path, its permissions and the store's credentials"
        ) from error
