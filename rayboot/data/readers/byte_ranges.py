"""Fetching photos that are whole files, or ranges of bytes within files."""

import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rayboot.data.readers.base import FetchedPhoto, Row
from rayboot.errors import AccessError, FaceRejectedError
from rayboot.io.retry import retry_io
from rayboot.io.storage import read_bytes, read_range

__all__ = ["fetch_byte_ranges", "rejected_if_unreadable"]


def fetch_byte_ranges(
    rows: Sequence[Row], num_requests: int
) -> list[FetchedPhoto | FaceRejectedError]:
    """Fetches photos and landmarks with concurrent requests, in the rows' order.

    Args:
        rows: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`. A null offset means the whole
            file, another one the range of ``num_bytes`` or ``landmarks_bytes`` from there.
        num_requests: Maximum number of concurrent requests.

    Returns:
        Bytes, or for a file that has disappeared or that must not be read an error to raise for
        that row.

    Raises:
        StoreError: the store stays unavailable.
    """
    # A pool for each batch: threads that outlived it could not be pickled with their owner.
    with ThreadPoolExecutor(num_requests, thread_name_prefix="fetch") as pool:
        return list(pool.map(_fetch_row, rows))


def _fetch_row(row: Row) -> FetchedPhoto | FaceRejectedError:
    try:
        photo = _read_range(row["source_uri"], row["source_offset"], row["num_bytes"], "read")
        if row["landmarks_uri"] is None:
            return FetchedPhoto(photo, None, "")
        landmarks = _read_range(
            row["landmarks_uri"], row["landmarks_offset"], row["landmarks_bytes"], "landmarks"
        )
        return FetchedPhoto(photo, landmarks, row["landmarks_suffix"])
    except FaceRejectedError as error:
        return error


def _read_range(uri: str, offset: int | None, length: int, stage: str) -> bytes:
    with rejected_if_unreadable(uri, stage):
        if offset is None:
            return retry_io(lambda: read_bytes(uri), uri)
        return retry_io(lambda: read_range(uri, offset, length), uri)


@contextmanager
def rejected_if_unreadable(uri: str, stage: str) -> Iterator[None]:
    """Turns the answer that a file is gone, or must not be read, into a reject of the photo.

    Args:
        uri: URI of the file that the ``with`` block reads.
        stage: stage of the reject.

    Raises:
        FaceRejectedError: the file is gone, is no file, or must not be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FaceRejectedError(
            stage,
            "missing",
            f"{uri} was listed, but no longer exists or is a broken link; restore the file, or "
            "list the data set again",
        ) from error
    except AccessError as error:
        if getattr(error.__cause__, "errno", None) == errno.ENODEV:
            raise FaceRejectedError(
                stage, "no-file", f"{uri} is a pipe, socket or device; expected a file"
            ) from error
        raise FaceRejectedError(
            stage,
            "forbidden",
            f"{error}; then process the photo again with --retry-rejects {stage}",
        ) from error
    except IsADirectoryError as error:
        raise FaceRejectedError(
            stage, "missing", f"{uri} was listed as a file, but is a folder now"
        ) from error
