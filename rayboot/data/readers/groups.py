"""The data set, the group and the test subset of a photo, derived from its path alone.

Knows the layouts of LS3D-W (videos as folders of frames), of LFW (people as folders) and of 300W-LP
(a photo, its rotated versions and their mirror images).
"""

import posixpath
import re

__all__ = ["TEST_SUBSETS", "dataset_name", "group_id", "is_test_photo", "video_folder"]

TEST_SUBSETS = ("300W-Testset-3D", "AFLW2000-3D-Reannotated")
"""Folders of LS3D-W that are reserved for testing and left out of a listing by default."""

_VIDEO_SUBSETS = frozenset(("Trainset", "CatA", "CatB", "CatC"))
"""Folders of LS3D-W whose subfolders each hold the frames of one video."""


_ROTATED_SUBSETS = ("AFW", "HELEN", "IBUG", "LFPW")
"""Folders of 300W-LP; those of the mirror images end in ``_Flip``."""

_ROTATION = re.compile(r"_\d+$")


def dataset_name(uri: str, name: str) -> str:
    """Returns the name of a photo's data set: the first folder below ``uri``, else ``uri``'s own.

    Args:
        uri: URI of the listed folder.
        name: Path of the photo relative to ``uri``.
    """
    first, slash, _ = name.partition("/")
    return first if slash else posixpath.basename(uri.rstrip("/"))


def video_folder(uri: str, name: str) -> str | None:
    """Returns the folder of a frame's video in LS3D-W, or None for a photo that is no frame.

    Args:
        uri: URI of the listed folder.
        name: Path of the photo relative to ``uri``.
    """
    folder = name.rpartition("/")[0]
    # The listed folder may be one subset, or one video; then ``uri`` ends in the telling names.
    *_, parent, last = ["", *f"{uri.rstrip('/')}/{folder}".rstrip("/").split("/")]
    return (folder or last) if parent in _VIDEO_SUBSETS else None


def group_id(uri: str, name: str) -> str:
    """Returns the group of a photo: its video, its person, its original, else the photo itself.

    Videos are those of LS3D-W, persons those of LFW; in 300W-LP ``AFW/AFW_1_0.jpg`` to
    ``AFW_1_17.jpg`` show one photo, which ``AFW_Flip`` shows mirrored.

    Args:
        uri: URI of the listed folder.
        name: Path of the photo relative to ``uri``.
    """
    video = video_folder(uri, name)
    if video is not None:
        return video
    folder, _, file = name.rpartition("/")
    original = _rotated_original(uri, folder, file)
    if original is not None:
        return original
    person = f"{uri.rstrip('/')}/{folder}".rstrip("/").rpartition("/")[2]
    return folder if folder and file.startswith(f"{person}_") else name


def _rotated_original(uri: str, folder: str, file: str) -> str | None:
    """Returns the name of the photo of which 300W-LP has rotated versions; None for other files."""
    last = f"{uri.rstrip('/')}/{folder}".rstrip("/").rpartition("/")[2]
    subset = last.removesuffix("_Flip")
    stem = posixpath.splitext(file)[0]
    if subset not in _ROTATED_SUBSETS or not stem.startswith(subset):
        return None
    if _ROTATION.search(stem) is None:
        return None
    above = folder.rpartition("/")[0]
    return posixpath.join(above, subset, _ROTATION.sub("", stem))


def is_test_photo(name: str) -> bool:
    """Whether a photo, by its path relative to the listed folder, is in a test subset."""
    return bool(set(name.split("/")[:-1]) & set(TEST_SUBSETS))
