"""Landmark files of a photo's name in another folder, which are not read."""

import posixpath
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.counts import describe_count
from rayboot.data.landmarks import LANDMARK_SUFFIXES
from rayboot.data.readers.base import suffix_of
from rayboot.io.storage import Entry, join_uri

__all__ = ["describe_apart"]

_CERTAIN_SUFFIXES = (".t7", ".pts", ".ljson")
"""Suffixes of files that contain landmarks and nothing else; others have labels or masks too."""

_WORDS = ("landmark", "lmk", "keypoint", "pts")
"""Words in the path of a file that contains landmarks, whatever its suffix."""

_NUM_EXAMPLES = 3


def describe_apart(photos: pa.Table, uri: str, entries: Mapping[str, Entry]) -> str:
    """Returns a sentence on landmark files that are not next to their photo; empty for none.

    Args:
        photos: Listing of the data set.
        uri: Its URI.
        entries: Its files, by path relative to ``uri``.
    """
    names = [name for name in entries if name != "." and _has_landmarks(name)]
    alone = photos["face_id"].filter(pc.is_null(photos["landmarks_uri"]))
    if not names or not len(alone):
        return ""
    read = set(photos["landmarks_uri"].unique().to_pylist())
    stems = {_stem(name) for name in alone.to_pylist()}
    unread = [name for name in names if _stem(name) in stems and join_uri(uri, name) not in read]
    if not unread:
        return ""
    files = describe_count(
        len(unread),
        "landmark file",
        "is not next to its photo and is not read",
        "are not next to their photos and are not read",
    )
    more = ", ..." if len(unread) > _NUM_EXAMPLES else ""
    return (
        f"{files} ({', '.join(unread[:_NUM_EXAMPLES])}{more}); the landmarks of a/x.jpg are in "
        "a/x.pts or another of their formats, those of a photo in an archive in the same archive"
    )


def _has_landmarks(name: str) -> bool:
    suffix = suffix_of(name)
    if suffix not in LANDMARK_SUFFIXES:
        return False
    return suffix in _CERTAIN_SUFFIXES or any(word in name.lower() for word in _WORDS)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0].removesuffix("_pts")
