"""What a data set of photos holds: found by its layout, without opening a photo.

Read are LS3D-W as it lies on disk, any folder of photos with landmark files beside
them, and tables of photos: Parquet files and WebDataset's tar files.
"""

import posixpath
from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.errors import RequestError
from rayboot.io.storage import Entry, join_uri, list_entries

__all__ = ["PHOTO_SCHEMA", "PHOTO_SUFFIXES", "TEST_SUBSETS", "list_photos", "photo_table"]

PHOTO_SCHEMA = pa.schema(
    [
        # The photo's path relative to the data set.
        ("face_id", pa.string()),
        # The file that holds the photo; within a tar file the first byte, within a Parquet
        # file the row, else null.
        ("source_uri", pa.string()),
        ("source_offset", pa.int64()),
        ("num_bytes", pa.int64()),
        # The same of its landmarks, null where there are none.
        ("landmarks_uri", pa.string()),
        ("landmarks_offset", pa.int64()),
        ("landmarks_bytes", pa.int64()),
        # Which kind they are, with the dot; null in a Parquet file, whose rows tell.
        ("landmarks_suffix", pa.string()),
        # Equal for equal photos with equal landmarks; null where it is not known unread.
        ("tag", pa.string()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
        # Whether the group is a video, whose neighbours are nearly the same picture.
        ("is_frame", pa.bool_()),
        # Whether it belongs to one of TEST_SUBSETS.
        ("is_test", pa.bool_()),
    ]
)

TEST_SUBSETS = ("300W-Testset-3D", "AFLW2000-3D-Reannotated")
"""Of LS3D-W; kept for testing, so left out here unless asked for."""

PHOTO_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
)
_VIDEO_SUBSETS = frozenset(("Trainset", "CatA", "CatB", "CatC"))
_JUNK_FOLDER = "__MACOSX"


def list_photos(uri: str, *, include_test: bool = False) -> pa.Table:
    """The photos of a data set, by ``face_id``.

    Args:
        uri: of the data set: a folder of photos, or of Parquet or tar files, or one such file.
        include_test: whether LS3D-W's test subsets take part.

    Returns:
        A table of :data:`PHOTO_SCHEMA`; strings that come again and again may be Arrow
        dictionaries of them.

    Raises:
        RequestError: there is no photo, or two have the same name.
    """
    from rayboot.data.readers.containers import list_tables

    try:
        entries = list_entries(uri)
        names = [name for name in entries if not _is_junk(name)]
        loose = any(_is_photo(name) for name in names)
        # Tables beside loose photos are something else, such as their truth.
        tables = None if loose else list_tables(uri, names)
    except (OSError, PermissionError) as error:
        raise RequestError(f"input {uri}: cannot be listed ({error})") from error
    if tables is None:
        tables = _list_loose(uri, {name: entries[name] for name in names})
    if not include_test:
        tables = tables.filter(pc.invert(tables["is_test"]))
    if len(tables) == 0:
        raise RequestError(
            f"input {uri}: no photo found; expected a folder of files ending in "
            f"{', '.join(sorted(PHOTO_SUFFIXES))}, or Parquet or tar files of them (LS3D-W's "
            "test subsets do not count)"
        )
    return tables


def _list_loose(uri: str, entries: Mapping[str, Entry]) -> pa.Table:
    landmarks = find_landmarks(entries)
    photos = [name for name in entries if _is_photo(name)]
    beside = [landmarks.get(posixpath.splitext(name)[0]) for name in photos]
    return photo_table(
        uri,
        photos,
        source_uri=[join_uri(uri, name) for name in photos],
        num_bytes=[entries[name].num_bytes for name in photos],
        landmarks_uri=[join_uri(uri, mark) if mark else None for mark in beside],
        landmarks_bytes=[entries[mark].num_bytes if mark else None for mark in beside],
        landmarks_suffix=[posixpath.splitext(mark)[1].lower() if mark else None for mark in beside],
        tag=[
            _joint_tag(entries[name], entries[mark] if mark else None)
            for name, mark in zip(photos, beside, strict=True)
        ],
    )


def photo_table(uri: str, face_ids: list[str], **columns: list) -> pa.Table:
    """A table of :data:`PHOTO_SCHEMA`; what the names tell is filled in, the rest is null.

    Args:
        uri: of the data set.
        face_ids: the photos' names in it.
        columns: those that are known.
    """
    known = {
        "face_id": face_ids,
        "dataset": [_dataset(uri, name) for name in face_ids],
        "group_id": [_group_id(uri, name) for name in face_ids],
        "is_frame": [_video_of(uri, name) is not None for name in face_ids],
        "is_test": [_is_test(name) for name in face_ids],
        **columns,
    }
    count = len(face_ids)
    arrays = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else pa.nulls(count, field.type)
        for field in PHOTO_SCHEMA
    ]
    return pa.table(arrays, schema=PHOTO_SCHEMA)


def find_landmarks(names: Mapping[str, object]) -> dict[str, str]:
    """The landmark file of every stem that has one; of several the first kind."""
    stems: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() in LANDMARK_SUFFIXES:
            stems[stem][suffix.lower()] = name
    return {
        stem: next(found[suffix] for suffix in LANDMARK_SUFFIXES if suffix in found)
        for stem, found in stems.items()
    }


def _joint_tag(photo: Entry, landmarks: Entry | None) -> str | None:
    if photo.tag is None or (landmarks is not None and landmarks.tag is None):
        return None
    return f"{photo.tag}+{landmarks.tag if landmarks else ''}"


def _is_photo(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _is_test(name: str) -> bool:
    return bool(set(name.split("/")[:-1]) & set(TEST_SUBSETS))


def _dataset(uri: str, name: str) -> str:
    """The folder that names the data set: the first one below ``uri``, or ``uri``'s own."""
    first, slash, _ = name.partition("/")
    return first if slash else posixpath.basename(uri.rstrip("/"))


def _video_of(uri: str, name: str) -> str | None:
    """The folder of a frame's video in LS3D-W; None for other photos."""
    folder = name.rpartition("/")[0]
    # The data set may be one subset, or one video: then ``uri`` ends in what tells.
    *_, parent, last = ["", *f"{uri.rstrip('/')}/{folder}".rstrip("/").split("/")]
    return (folder or last) if parent in _VIDEO_SUBSETS else None


def _group_id(uri: str, name: str) -> str:
    """The video (LS3D-W) or person (LFW) of a photo where the layout tells, else the photo."""
    video = _video_of(uri, name)
    if video is not None:
        return video
    folder, _, file = name.rpartition("/")
    person = f"{uri.rstrip('/')}/{folder}".rstrip("/").rpartition("/")[2]
    return folder if folder and file.startswith(f"{person}_") else name


def _is_junk(name: str) -> bool:
    """Hidden files, and what macOS puts beside each file: photos by name alone."""
    return name != "." and any(
        part.startswith(".") or part == _JUNK_FOLDER for part in name.split("/")
    )
