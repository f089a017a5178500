"""The rejects of a data set by stage and reason, with thumbnails of a few photos of each."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.images import decode_photo, make_thumbnail
from rayboot.data.readers import is_photo
from rayboot.data.row_index import index_rows, read_rows
from rayboot.errors import FaceRejectedError, StoreError
from rayboot.io.parquet import read_some_rows, read_table
from rayboot.io.storage import exists, join_uri
from rayboot.pipeline.output_layout import LISTING

__all__ = ["RejectGroup", "RejectedPhoto", "read_reject_groups"]

MAX_PHOTOS, MAX_GROUPS = 6, 40
"""Maximum number of photos that are shown of a group, and of groups with photos."""

_SEED = 0

_SIDE = 96
"""Longer side of the thumbnails that are made of source photos, px."""

_UNSAFE_REASONS = ("crashed", "timed-out")
"""Reasons of photos that are not decoded again: it ended a process, or took too long."""

_BATCH_SIZE = 16
"""Number of source photos that are fetched at a time."""

_Thumbnail = tuple[bytes | None, str]
"""JPEG bytes, or why there are none."""

_COLUMNS = ("face_id", "source_uri", "message", "thumbnail")

_WHOLE_FILE = dict.fromkeys(
    ("source_offset", "num_bytes", "landmarks_uri", "landmarks_offset", "landmarks_bytes")
)


class RejectedPhoto(NamedTuple):
    """A rejected photo.

    Attributes:
        face_id: id of the photo.
        message: why it was rejected.
        image: JPEG bytes of a thumbnail; None where the photo cannot be read.
        problem: why there is no image; empty where there is one.
    """

    face_id: str
    message: str
    image: bytes | None
    problem: str


class RejectGroup(NamedTuple):
    """The photos that one stage rejected for one reason.

    Attributes:
        stage: the stage.
        reason: the reason.
        num_photos: number of the photos.
        photos: a few of them, drawn at random.
    """

    stage: str
    reason: str
    num_photos: int
    photos: Sequence[RejectedPhoto]


def read_reject_groups(uri: str, files: Sequence[str]) -> list[RejectGroup]:
    """Reads the rejects of a data set, the most frequent reason first.

    A thumbnail comes from the data set; where it has none, from the source photo.

    Args:
        uri: URI of the data set, finished or not.
        files: files of rejects, relative to ``uri``.

    Raises:
        StoreError: the store of the data set stays unavailable.
    """
    if not files:
        return []
    index = index_rows(uri, files, ["face_id", "stage", "reason"])
    if not len(index):
        return []
    counts = index.group_by(["stage", "reason"]).aggregate([("face_id", "count")])
    order = [("face_id_count", "descending"), ("stage", "ascending"), ("reason", "ascending")]
    groups = counts.sort_by(order).to_pylist()
    drawn = [_draw(index, group) for group in groups[:MAX_GROUPS]]
    rows = _read_photos(uri, pa.concat_tables(drawn))
    photos = iter(_with_thumbnails(uri, rows))
    shown = [[next(photos) for _ in range(len(part))] for part in drawn]
    shown += [[]] * (len(groups) - len(shown))
    return [
        RejectGroup(group["stage"] or "", group["reason"] or "", group["face_id_count"], part)
        for group, part in zip(groups, shown, strict=True)
    ]


def _draw(index: pa.Table, group: Mapping[str, Any]) -> pa.Table:
    """Returns the rows of the index of a few photos of a group, by their ids."""
    of_group = index.filter(
        pc.and_(
            pc.equal(index["stage"], group["stage"]), pc.equal(index["reason"], group["reason"])
        )
    )
    drawn = np.random.default_rng(_SEED).permutation(len(of_group))[:MAX_PHOTOS]
    return of_group.take(pa.array(np.sort(drawn)))


def _read_photos(uri: str, index: pa.Table) -> list[dict[str, Any]]:
    rows = read_rows(index, uri, partial(_read_file, uri))
    reasons = index["reason"].to_pylist()
    return [{**row, "reason": reason} for row, reason in zip(rows, reasons, strict=True)]


def _read_file(uri: str, name: str, rows: list[int]) -> pa.Table:
    return read_some_rows(join_uri(uri, name), rows, _COLUMNS)


def _with_thumbnails(uri: str, rows: Sequence[Mapping[str, Any]]) -> list[RejectedPhoto]:
    without = [row for row in rows if not row["thumbnail"]]
    made = _make_thumbnails(
        _locate(uri, [row for row in without if row["reason"] not in _UNSAFE_REASONS])
    )
    photos = []
    for row in rows:
        image, problem = row["thumbnail"], ""
        if not image and row["reason"] in _UNSAFE_REASONS:
            problem = "not opened again: it ended or blocked the process that read it"
        elif not image:
            image, problem = made.get(row["face_id"], (None, "its place in an archive is unknown"))
        photos.append(RejectedPhoto(row["face_id"], row["message"] or "", image or None, problem))
    return photos


def _locate(uri: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows of the listing of photos; those that it lacks must be files of their own."""
    listing = join_uri(uri, LISTING)
    located = {
        row["face_id"]: {**_WHOLE_FILE, "face_id": row["face_id"], "source_uri": row["source_uri"]}
        for row in rows
        if row["source_uri"] and is_photo(row["source_uri"])
    }
    if rows and exists(listing):
        table = read_table(listing, ["face_id", "source_uri", "source_offset", "num_bytes"])
        ids = pa.array([row["face_id"] for row in rows])
        for row in table.filter(pc.is_in(table["face_id"], ids)).to_pylist():
            located[row["face_id"]] = {**_WHOLE_FILE, **row}
    return list(located.values())


def _make_thumbnails(photos: Sequence[Mapping[str, Any]]) -> dict[str, _Thumbnail]:
    """Returns the thumbnail of each photo by its id, or why there is none."""
    fetcher = PhotoFetcher()
    made: dict[str, _Thumbnail] = {}
    for start in range(0, len(photos), _BATCH_SIZE):
        part = photos[start : start + _BATCH_SIZE]
        try:
            files = fetcher.fetch(part)
        except StoreError:
            # The others would wait as long for nothing.
            away = (None, "the store of the photo is unavailable")
            return made | {photo["face_id"]: away for photo in photos[start:]}
        made |= {
            photo["face_id"]: _make_thumbnail(file) for photo, file in zip(part, files, strict=True)
        }
    return made


def _make_thumbnail(file: FetchedPhoto | FaceRejectedError) -> _Thumbnail:
    try:
        if isinstance(file, FaceRejectedError):
            raise file
        return make_thumbnail(decode_photo(file.photo), _SIDE), ""
    except FaceRejectedError as error:
        return None, f"cannot be read: {error.reason}"
