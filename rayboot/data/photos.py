"""What a data set of photos holds: found by its layout, without opening a photo.

Read are LS3D-W as it lies on disk, and any folder of photos with landmark files
beside them.
"""

import posixpath
from collections import defaultdict

import pyarrow as pa

from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.storage import join_uri, list_sizes
from rayboot.errors import RequestError

__all__ = ["PHOTO_SCHEMA", "TEST_SUBSETS", "list_photos"]

PHOTO_SCHEMA = pa.schema(
    [
        # The photo's path relative to the data set.
        ("face_id", pa.string()),
        ("source_uri", pa.string()),
        ("landmarks_uri", pa.string()),
        ("num_bytes", pa.int64()),
        ("dataset", pa.string()),
        ("group_id", pa.string()),
    ]
)

TEST_SUBSETS = ("300W-Testset-3D", "AFLW2000-3D-Reannotated")
"""Of LS3D-W; kept for testing, so left out here unless asked for."""

_PHOTO_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
)
_VIDEO_SUBSETS = frozenset(("Trainset", "CatA", "CatB", "CatC"))
_JUNK_FOLDER = "__MACOSX"


def list_photos(uri: str, *, include_test: bool = False) -> pa.Table:
    """The photos of a data set, by ``face_id``.

    Args:
        uri: of the data set.
        include_test: whether LS3D-W's test subsets take part.

    Returns:
        A table of :data:`PHOTO_SCHEMA`; ``landmarks_uri`` is null where no file stands
        beside the photo.

    Raises:
        RequestError: there is no photo.
    """
    try:
        sizes = list_sizes(uri)
    except (OSError, PermissionError) as error:
        raise RequestError(f"input {uri}: cannot be listed ({error})") from error
    stems: dict[str, set[str]] = defaultdict(set)
    names = [name for name in sizes if not _is_junk(name)]
    for name in names:
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() in LANDMARK_SUFFIXES:
            stems[stem].add(suffix)
    photos = [
        name
        for name in names
        if posixpath.splitext(name)[1].lower() in _PHOTO_SUFFIXES
        and (include_test or not set(name.split("/")[:-1]) & set(TEST_SUBSETS))
    ]
    if not photos:
        raise RequestError(
            f"input {uri}: no photo found; expected a folder of files ending in "
            f"{', '.join(sorted(_PHOTO_SUFFIXES))} (LS3D-W's test subsets do not count)"
        )
    return pa.table(
        {
            "face_id": photos,
            "source_uri": [join_uri(uri, name) for name in photos],
            "landmarks_uri": [_landmarks_uri(uri, name, stems) for name in photos],
            "num_bytes": [sizes[name] for name in photos],
            "dataset": [_dataset(uri, name) for name in photos],
            "group_id": [_group_id(uri, name) for name in photos],
        },
        schema=PHOTO_SCHEMA,
    )


def _landmarks_uri(uri: str, name: str, stems: dict[str, set[str]]) -> str | None:
    stem = posixpath.splitext(name)[0]
    beside = {suffix.lower(): suffix for suffix in stems.get(stem, ())}
    for suffix in LANDMARK_SUFFIXES:
        if suffix in beside:
            return join_uri(uri, stem + beside[suffix])
    return None


def _dataset(uri: str, name: str) -> str:
    """The folder that names the data set: the first one below ``uri``, or ``uri``'s own."""
    first, slash, _ = name.partition("/")
    return first if slash else posixpath.basename(uri.rstrip("/"))


def _group_id(uri: str, name: str) -> str:
    """The video (LS3D-W) or person (LFW) of a photo where the layout tells, else the photo."""
    folder, _, file = name.rpartition("/")
    # The data set may be one subset, or one video: then ``uri`` ends in what tells.
    *_, parent, last = ["", *f"{uri.rstrip('/')}/{folder}".rstrip("/").split("/")]
    if parent in _VIDEO_SUBSETS:
        return folder or last
    return folder if folder and file.startswith(f"{last}_") else name


def _is_junk(name: str) -> bool:
    """Hidden files, and what macOS puts beside each file: photos by name alone."""
    return any(part.startswith(".") or part == _JUNK_FOLDER for part in name.split("/"))
