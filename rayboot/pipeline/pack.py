"""Photos of any source into few large Parquet files, which are read one row group at a time."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.readers import INDEX_NAME, PACKED_SCHEMA, PHOTO_SCHEMA
from rayboot.data.readers.unread import unread_note
from rayboot.errors import FaceRejectedError, RaybootError
from rayboot.io.absolute_paths import absolute_inputs
from rayboot.io.parquet import count_rows, read_table, write_table
from rayboot.io.storage import absolute_uri, exists, join_uri, list_files, require_writable
from rayboot.logs import new_run_id
from rayboot.pipeline.checkpoint_files import finished_files
from rayboot.pipeline.graph import StageSpec
from rayboot.pipeline.listing import list_inputs, require_other_folder
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
    """

    output: str
    num_photos: int
    run_id: str
    unread: str = ""


def prepare_pack(inputs: str | tuple[str, ...], output: str) -> PackPlan:
    """Checks a request and lists its photos, test subsets included; needs no Ray.

    Raises:
        RequestError: There is no photo, the output cannot be written, or another request began
            it.
    """
    sources = [inputs] if isinstance(inputs, str) else list(inputs)
    output = absolute_uri(output)
    inputs = absolute_inputs(inputs)
    require_other_folder(inputs, output)
    require_writable(output)
    fingerprint = Fingerprint(output, FINGERPRINT, {"input": sources})
    stored = fingerprint.load()
    if stored is None:
        listing = join_uri(output, LISTING)
        unread = ""
        # Version 0.1 recorded the listing alone.
        if not exists(listing):
            photos = list_inputs(inputs, include_test=True)
            unread = unread_note(photos)
            write_table(listing, photos, store_schema=False)
        stored = fingerprint.save(
            num_photos=count_rows(listing), run_id=new_run_id(), unread=unread
        )
    return PackPlan(output, stored["num_photos"], stored["run_id"], stored.get("unread", ""))


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

    def is_complete(self) -> bool:
        """Whether the index is written."""
        return exists(join_uri(self.output, INDEX_NAME))

    def count_finished(self) -> int:
        """Number of photos in the files that are written completely."""
        return sum(count_rows(join_uri(self.output, name)) for name in self._parts())

    def complete(self) -> None:
        """Writes the index, a listing of what was packed; images and landmarks are not read.

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
        write_table(join_uri(self.output, INDEX_NAME), index)

    def summarize(self) -> int:
        """Number of packed photos."""
        return self.num_photos

    def _parts(self) -> list[str]:
        names = [
            name
            for name in list_files(self.output)
            if name.endswith(".parquet") and not name.startswith("_run/")
        ]
        return finished_files(self.output, names)


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
