"""The interface of photo readers, one for each layout, and the table that all of them fill."""

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Protocol

import pyarrow as pa

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.readers.groups import dataset_name, group_id, is_test_photo, video_folder
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.io.storage import Entry

__all__ = [
    "PHOTO_SCHEMA",
    "PHOTO_SUFFIXES",
    "FetchedPhoto",
    "PhotoReader",
    "Row",
    "build_photo_table",
    "damaged_if_unreadable",
    "folder_and_files",
    "is_photo",
    "is_shadow",
    "match_landmarks",
    "suffix_of",
]

Row = Mapping[str, Any]
"""One row of :data:`PHOTO_SCHEMA`."""

PHOTO_SCHEMA = pa.schema(
    [
        # Path of the photo relative to the data set.
        ("face_id", pa.string()),
        # URI of the file that contains the photo. Where a file contains many: the offset of the
        # photo's first byte in a tar file, the number of its row in a Parquet file; else null.
        ("source_uri", pa.string()),
        ("source_offset", pa.int64()),
        ("num_bytes", pa.int64()),
        # Location of the landmarks, in the same terms; null where the photo has none.
        ("landmarks_uri", pa.string()),
        ("landmarks_offset", pa.int64()),
        ("landmarks_bytes", pa.int64()),
        # Format of the landmarks, as a suffix with the dot; null in a Parquet file, whose rows
        # contain it.
        ("landmarks_suffix", pa.string()),
        # Equal for equal photos with equal landmarks; null where only the bytes would show it.
        ("tag", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        # Whether the group is a video, whose neighbouring frames are nearly identical.
        ("is_frame", pa.bool_()),
        # Whether the photo is in one of TEST_SUBSETS.
        ("is_test", pa.bool_()),
    ]
)
"""Columns of a listing of photos. Runs store their listings, so the columns keep their names
and their meaning."""

_SHADOW_FOLDERS = frozenset(("__MACOSX", "@eaDir"))
"""Folders of files of the same names as photos: what macOS adds to archives, and the thumbnails of
Synology's stations."""

PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".jpx", ".png", ".apng"),
        *(".heic", ".heif", ".hif", ".avif", ".webp", ".gif", ".tif", ".tiff"),
        *(".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".qoi"),
    )
)
"""Suffixes of image files, in lower case and with the dot."""


_TEXT_SUFFIXES = (".json", ".csv", ".txt")
_MIN_TEXT_BYTES = 4 * 51
"""Size of the shortest text of landmarks: 51 points, each of two digits and two separators."""


class FetchedPhoto(NamedTuple):
    """Bytes of one listed photo and of its landmarks."""

    photo: bytes
    """Content of the image file."""
    landmarks: bytes | None
    """Content of the landmark file; None where there is none."""
    landmarks_suffix: str
    """Format of the landmarks, with the dot; empty where there are none."""


class PhotoReader(Protocol):
    """Reader of one layout of photo data sets.

    A new layout is a module with a class of this interface, and an entry in
    :data:`rayboot.data.readers.READERS`. The class is constructed without arguments; an instance
    may cache what it has read, and is pickled with the actor that owns it.
    """

    description: ClassVar[str]
    """What the layout consists of; completes the sentence "expected ..."."""

    def can_read(self, uri: str, names: Collection[str]) -> bool:
        """Whether the files of a data set have this layout.

        Args:
            uri: URI of the data set, or of a single file.
            names: Paths of its files relative to ``uri``; ``.`` alone if ``uri`` is a file.
        """
        ...

    def list_photos(self, uri: str, entries: Mapping[str, Entry]) -> pa.Table:
        """Lists the photos of a data set without decoding any.

        Args:
            uri: URI of the data set, or of a single file.
            entries: Its files, by path relative to ``uri``, without those that a reader before
                this one has listed as the source of a photo.

        Returns:
            A table of :data:`PHOTO_SCHEMA`; string columns may be dictionary-encoded.

        Raises:
            RequestError: a file of this layout does not have the expected content.
        """
        ...

    def can_fetch(self, row: Row) -> bool:
        """Whether a listed row is of this layout; its listing may be stored by an earlier run."""
        ...

    def fetch(
        self, rows: Sequence[Row], num_requests: int
    ) -> Sequence[FetchedPhoto | FaceRejectedError]:
        """Fetches the photos of rows for which :meth:`can_fetch` holds, in the rows' order.

        Args:
            rows: Rows of :data:`PHOTO_SCHEMA`.
            num_requests: Maximum number of concurrent requests to the store.

        Returns:
            Bytes, or for a single file that has disappeared an error to raise for that row.

        Raises:
            StoreError: the store stays unavailable.
        """
        ...


def suffix_of(name: str) -> str:
    """Returns the suffix of a file name, in lower case and with the dot."""
    return posixpath.splitext(name)[1].lower()


def is_shadow(name: str) -> bool:
    """Whether a path is of a file that macOS or a NAS keeps beside each photo, under its suffix."""
    *folders, file = name.split("/")
    return file.startswith("._") or not _SHADOW_FOLDERS.isdisjoint(folders)


@contextmanager
def damaged_if_unreadable(uri: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns errors of a file of many photos that cannot be listed into one sentence.

    Args:
        uri: URI of the file.
        kind: Name of its format.
        errors: What the library raises on damaged files.

    Raises:
        RequestError: the file is damaged.
    """
    try:
        yield
    except errors as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise RequestError(
            f"{uri}: expected a {kind} file, got one that is empty, incomplete or damaged "
            f"({reason}); copy it again, or remove it"
        ) from error


def is_photo(name: str) -> bool:
    """Whether a file name has the suffix of an image file."""
    return suffix_of(name) in PHOTO_SUFFIXES


def folder_and_files(uri: str, names: Iterable[str]) -> tuple[str, list[str]]:
    """Returns the folder of a data set and its files, also where ``uri`` is a single file.

    Args:
        uri: URI of the data set, or of a single file.
        names: Paths of its files relative to ``uri``; ``.`` alone if ``uri`` is a file.
    """
    files = list(names)
    if files != ["."]:
        return uri, files
    folder, file = posixpath.split(uri.rstrip("/"))
    return folder, [file]


def match_landmarks(
    photos: Iterable[str], num_bytes_by_name: Mapping[str, int | None]
) -> list[str | None]:
    """Returns the landmark file of each photo, None where it has none.

    A landmark file has the path of its photo but for the suffix. Two exceptions: the landmarks of
    300W-LP for ``AFW/x.jpg`` are at ``landmarks/AFW/x_pts.mat``, and macOS may write one of two
    equal names with accents apart from their letters.

    Args:
        photos: Paths of photos.
        num_bytes_by_name: Sizes of all files by their paths, None where the size is not known.

    Returns:
        Paths of landmark files; of several for one photo, the first kind is chosen.
    """
    kinds_by_stem: dict[str, dict[str, str]] = defaultdict(dict)
    for name, num_bytes in num_bytes_by_name.items():
        suffix = suffix_of(name)
        if suffix in LANDMARK_SUFFIXES and not _is_caption(suffix, num_bytes):
            kinds_by_stem[posixpath.splitext(name)[0]][suffix] = name
    file_by_stem = {
        stem: next(kinds[suffix] for suffix in LANDMARK_SUFFIXES if suffix in kinds)
        for stem, kinds in kinds_by_stem.items()
    }
    # A file of exactly the photo's name wins over one that is written in another way.
    file_by_stem = {_compose(stem): name for stem, name in file_by_stem.items()} | file_by_stem
    return [_landmarks_of(photo, file_by_stem) for photo in photos]


def _landmarks_of(photo: str, file_by_stem: Mapping[str, str]) -> str | None:
    stem = posixpath.splitext(photo)[0]
    folder, name = posixpath.split(stem)
    parent, subset = posixpath.split(folder)
    elsewhere = posixpath.join(parent, "landmarks", subset, f"{name}_pts")
    for candidate in (elsewhere, stem):
        found = file_by_stem.get(candidate) or file_by_stem.get(_compose(candidate))
        if found is not None:
            return found
    return None


def _compose(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_caption(suffix: str, num_bytes: int | None) -> bool:
    """Whether a text is too short to hold landmarks, as captions of photos often are."""
    return suffix in _TEXT_SUFFIXES and num_bytes is not None and num_bytes < _MIN_TEXT_BYTES


def build_photo_table(
    uri: str, face_ids: Sequence[str], **columns: Sequence[Any] | pa.Array
) -> pa.Table:
    """Builds a table of :data:`PHOTO_SCHEMA`.

    Data set, group and test subset follow from the names where they are not given; every other
    column that is not given is null.

    Args:
        uri: URI of the data set.
        face_ids: Names of the photos in the data set.
        columns: Values of further columns, one per photo.
    """
    known: dict[str, Sequence[Any] | pa.Array] = {
        "face_id": face_ids,
        "dataset": [dataset_name(uri, name) for name in face_ids],
        "group_id": [group_id(uri, name) for name in face_ids],
        "is_frame": [video_folder(uri, name) is not None for name in face_ids],
        "is_test": [is_test_photo(name) for name in face_ids],
        **columns,
    }
    arrays = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else pa.nulls(len(face_ids), field.type)
        for field in PHOTO_SCHEMA
    ]
    return pa.table(arrays, schema=PHOTO_SCHEMA)
