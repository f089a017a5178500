"""Photos of any source into few large Parquet files, which are read one row group at a time.

A set that is packed again follows its input: new photos are added in further files. Each index is
kept under a number in ``manifests/``, so that it stays told which photos the set had at a time.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.manifest import MANIFEST_FOLDER
from rayboot.data.readers import INDEX_NAME, PACKED_SCHEMA, PHOTO_SCHEMA
from rayboot.data.readers.unread import unread_note
from rayboot.errors import FaceRejectedError, RaybootError, RequestError
from rayboot.io.absolute_paths import absolute_inputs
from rayboot.io.parquet import count_rows, read_table, write_table
from rayboot.io.storage import (
    absolute_uri,
    exists,
    join_uri,
    list_files,
    read_bytes,
    require_writable,
    write_bytes,
)
from rayboot.logs import new_run_id
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.follow_input import OutputFiles, complete_pending_change, follow_input
from rayboot.pipeline.graph import StageSpec
from rayboot.pipeline.input_changes import InputChanges
from rayboot.pipeline.listing import list_inputs, require_other_folder
from rayboot.pipeline.output_change import finish_change
from rayboot.pipeline.output_layout import FINGERPRINT, LISTING
from rayboot.pipeline.runner import Executor, Job, run_job

__all__ = ["PackJob", "PackPhotos", "PackPlan", "pack", "prepare_pack"]

_ROWS_PER_GROUP = 64
"""Number of photos that one request fetches: some megabytes."""

_ROWS_PER_FILE = 8192
_READER_CPUS = 0.1


class PackPlan(NamedTuple):
    """A checked request.

    Attributes:
        output: URI of the folder of the packed photos.
        num_photos: Number of listed photos.
        run_id: Identifier in log lines, shared by all runs that resume the request.
        unread: Sentence on the files that look like pictures and are not read, if there are any.
        changes: How the input differs from the one that a finished set was packed from.
        is_resumed: Whether the set was begun before and is not finished: its listing may be older
            than the input.
    """

    output: str
    num_photos: int
    run_id: str
    unread: str = ""
    changes: InputChanges = InputChanges()
    is_resumed: bool = False


def prepare_pack(inputs: str | tuple[str, ...], output: str, *, prune: bool = False) -> PackPlan:
    """Checks a request and lists its photos, test subsets included; needs no Ray.

    A finished set is compared with its input as it is now, and what is new is added.

    Args:
        inputs: URI of the photos, or several.
        output: URI of the folder of the packed photos.
        prune: Whether photos that are no longer in the input are taken out.

    Raises:
        BusyError: The listing has to be changed, and another run writes to the output.
        RequestError: There is no photo, the output cannot be written, or another request began
            it.
    """
    sources = [inputs] if isinstance(inputs, str) else list(inputs)
    output = absolute_uri(output)
    inputs = absolute_inputs(inputs)
    require_other_folder(inputs, output)
    require_writable(output)
    fingerprint = Fingerprint(output, FINGERPRINT, {"input": sources})
    complete_pending_change(output)
    stored = fingerprint.load()
    is_finished = exists(join_uri(output, INDEX_NAME))
    is_resumed = stored is not None and not is_finished
    changes = InputChanges()
    listing = join_uri(output, LISTING)
    # Version 0.1 recorded the listing alone.
    is_listed = exists(listing)
    if stored is None:
        unread = _require_overlap(inputs, output) if is_listed else _write_listing(inputs, listing)
        num_photos = count_rows(listing)
        stored = fingerprint.save(num_photos=num_photos, run_id=new_run_id(), unread=unread)
    if is_finished or (prune and is_listed):
        stored, changes = _follow_input(inputs, output, stored, prune)
    unread = stored.get("unread", "")
    return PackPlan(output, stored["num_photos"], stored["run_id"], unread, changes, is_resumed)


def _write_listing(inputs: str | tuple[str, ...], listing: str) -> str:
    """Lists the photos; returns the sentence on files that are not read."""
    photos = list_inputs(inputs, include_test=True)
    write_table(listing, photos, store_schema=False)
    return unread_note(photos)


def _require_overlap(inputs: str | tuple[str, ...], output: str) -> str:
    """Refuses an input with which a set without a record was certainly not begun.

    Returns:
        Sentence on files that are not read.

    Raises:
        RequestError: None of the listed photos is in the input.
    """
    photos = list_inputs(inputs, include_test=True)
    listed = read_table(join_uri(output, LISTING), ["face_id"])["face_id"]
    if not pc.any(pc.is_in(listed, value_set=photos["face_id"])).as_py():
        raise RequestError(
            f"output {output} was begun with another input, whose photo {listed[0]} is not among "
            f"the {len(photos)} of this one; choose a new output"
        )
    return unread_note(photos)


def _follow_input(
    inputs: str | tuple[str, ...], output: str, stored: dict[str, Any], prune: bool
) -> tuple[dict[str, Any], InputChanges]:
    """Adds photos to the listing; returns the record of the request, and what differs."""
    photos = list_inputs(inputs, include_test=True)
    unread = unread_note(photos)
    update, written = follow_input(
        output,
        OutputFiles(rows=("",), finished=(INDEX_NAME,)),
        photos,
        photos,
        lambda update: {**stored, "num_photos": len(update.listing), "unread": unread},
        prune=prune,
    )
    return written or {**stored, "unread": unread}, update.changes


def pack(plan: PackPlan, num_readers: int = 4, executor: Executor | None = None) -> int:
    """Writes the Parquet files, and their index last; another call resumes an interrupted one.

    Args:
        plan: The request, from :func:`prepare_pack`.
        num_readers: Number of processes that fetch photos.
        executor: What executes the stage; None is Ray, which must be initialised.

    Returns:
        Number of packed photos.

    Raises:
        BusyError: Another run writes to the same output.
        StoreError: The object store stayed unavailable; finished photos are kept.
        DiskFullError, ClusterError: Likewise.
    """
    num_photos, _ = run_job(PackJob(plan, num_readers), executor)
    return num_photos


class PackJob(Job[int]):
    """Photos to rows of :data:`~rayboot.data.readers.PACKED_SCHEMA`."""

    name = "pack"
    rows_per_block = _ROWS_PER_FILE
    reader_cpus = _READER_CPUS
    write_options = {"row_group_size": _ROWS_PER_GROUP}  # noqa: RUF012 - never changed

    def __init__(self, plan: PackPlan, num_readers: int) -> None:
        self.output, self.run_id, self.num_photos = plan.output, plan.run_id, plan.num_photos
        self._num_readers = num_readers

    def stages(self) -> Sequence[StageSpec]:
        """Fetch."""
        return (StageSpec("pack", PackPhotos, _ROWS_PER_GROUP, self._num_readers, _READER_CPUS),)

    def recover(self) -> None:
        """Completes a change of the rows that was interrupted."""
        finish_change(self.output)

    def is_complete(self) -> bool:
        """Whether the index is written, and has every listed photo."""
        index = join_uri(self.output, INDEX_NAME)
        return exists(index) and count_rows(index) == self.num_photos

    def count_finished(self) -> int:
        """Number of photos in the files that are written completely."""
        return sum(count_rows(join_uri(self.output, name)) for name in self._parts())

    def complete(self) -> None:
        """Writes the index, a listing of what was packed; images and landmarks are not read.

        It is written under its number first. A former index without one, of version 0.1, gets the
        number before it.

        Raises:
            RaybootError: The packed photos are not those that were listed.
        """
        index = pa.concat_tables([_index_part(self.output, name) for name in self._parts()])
        index = index.sort_by("face_id")
        if len(index) != self.num_photos or len(index["face_id"].unique()) != len(index):
            raise RaybootError(
                f"{self.output}: {self.num_photos} photos were listed, but {len(index)} are "
                "packed; run the same command again"
            )
        current = join_uri(self.output, INDEX_NAME)
        numbers = [_number(name) for name in list_files(self.output, MANIFEST_FOLDER)]
        number = max(numbers, default=0) + 1
        if number == 1 and exists(current):
            write_bytes(join_uri(self.output, _numbered(1)), read_bytes(current))
            number = 2
        for name in (_numbered(number), INDEX_NAME):
            write_table(join_uri(self.output, name), index)

    def summarize(self) -> int:
        """Number of packed photos."""
        return self.num_photos

    def _parts(self) -> list[str]:
        names = [name for name in list_files(self.output) if "/" not in name]
        return finished_files(self.output, [name for name in names if name.endswith(".parquet")])


class PackPhotos:
    """Fetches listed photos.

    A photo that cannot be read keeps its row, with the reason for which ``generate`` rejects it
    later.

    Reads    rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`
    Gives    rows of :data:`~rayboot.data.readers.PACKED_SCHEMA`
    """

    def __init__(self) -> None:
        self._fetcher = PhotoFetcher()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Packs one batch of listed photos."""
        listed = table.to_pylist()
        fetched = self._fetcher.fetch(listed)
        rows = [_packed_row(row, photo) for row, photo in zip(listed, fetched, strict=True)]
        return pa.Table.from_pylist(rows, schema=PACKED_SCHEMA)


def _numbered(number: int) -> str:
    return f"{MANIFEST_FOLDER}/{number:06d}.index"


def _number(name: str) -> int:
    return int(name.removeprefix(f"{MANIFEST_FOLDER}/").removesuffix(".index"))


def _packed_row(row: dict[str, Any], fetched: FetchedPhoto | FaceRejectedError) -> dict[str, Any]:
    kept = {name: row[name] for name in ("face_id", "dataset", "group_id", "is_frame", "is_test")}
    if isinstance(fetched, FaceRejectedError):
        reject = {"stage": fetched.stage, "reason": fetched.reason, "message": fetched.message}
        return {**kept, "tag": f"missing {row['face_id']}", "reject": reject}
    tag = hashlib.sha256(fetched.photo)
    tag.update(hashlib.sha256(fetched.landmarks or b"").digest())
    return {
        **kept,
        "image": fetched.photo,
        "landmarks": fetched.landmarks,
        "landmarks_suffix": fetched.landmarks_suffix or None,
        "tag": tag.hexdigest(),
    }


def _index_part(output: str, name: str) -> pa.Table:
    """Rows of the index for the photos of one packed file."""
    columns = [
        column for column in PACKED_SCHEMA.names if column not in ("image", "landmarks", "reject")
    ]
    part = read_table(join_uri(output, name), columns)
    rows = pa.array(range(len(part)), pa.int64())
    has_landmarks = part["landmarks_suffix"].is_valid().to_pylist()
    known = {
        **{column: part[column] for column in columns},
        "source_uri": pa.array([name] * len(part)),
        "source_offset": rows,
        "landmarks_uri": pa.array([name if has else None for has in has_landmarks], pa.string()),
        "landmarks_offset": rows,
    }
    arrays = [known.get(field.name, pa.nulls(len(part), field.type)) for field in PHOTO_SCHEMA]
    return pa.table(arrays, schema=PHOTO_SCHEMA)
