"""Photos of any source into few large Parquet files, which are read a row group at a time."""

import hashlib
import io
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data import ActorPoolStrategy

from rayboot.cluster.progress import show_progress, spawn_on_driver_node
from rayboot.data.fetch import FetchedPhoto, PhotoFetcher
from rayboot.data.readers.containers import INDEX_NAME, PACKED_SCHEMA
from rayboot.data.readers.directory import PHOTO_SCHEMA
from rayboot.errors import FaceRejectedError, RaybootError
from rayboot.io.lease import hold_lease
from rayboot.io.storage import (
    arrow_filesystem,
    exists,
    join_uri,
    list_files,
    open_file,
    require_writable,
    write_bytes,
)
from rayboot.logs import current_context, logged_run, new_run_id
from rayboot.pipeline.actor import StageActor, StageStats, read_progress
from rayboot.pipeline.checkpoint import checkpointed
from rayboot.pipeline.listing import list_inputs

__all__ = ["PackPhotos", "PackPlan", "pack", "prepare_pack"]

_LISTING, _CHECKPOINT, _LOCK = "_run/listing.parquet", "_run/checkpoint", "_run/lock.json"

_ROWS_PER_GROUP = 64
"""Photos that one request fetches: some megabytes."""

_ROWS_PER_FILE = 8192
_READER_CPUS = 0.1


class PackPlan(NamedTuple):
    """A checked request."""

    output: str
    num_photos: int


def prepare_pack(inputs: str | tuple[str, ...], output: str) -> PackPlan:
    """Checks a request and lists its photos, test subsets included; needs no Ray.

    Raises:
        RequestError: there is no photo, or the output cannot be written.
    """
    require_writable(output)
    listing = join_uri(output, _LISTING)
    if not exists(listing):
        buffer = io.BytesIO()
        pq.write_table(list_inputs(inputs, include_test=True), buffer, store_schema=False)
        write_bytes(listing, buffer.getvalue())
    with open_file(listing) as file:
        return PackPlan(output, pq.read_metadata(file).num_rows)


def pack(plan: PackPlan, num_readers: int = 4) -> int:
    """Writes the Parquet files, and their index last; Ray must be initialised.

    A run that was cut off is finished by another call.

    Args:
        plan: from :func:`prepare_pack`.
        num_readers: processes that fetch.

    Returns:
        How many photos are packed.

    Raises:
        BusyError: another run writes to the same output.
        StoreError: the object store is in trouble for long.
    """
    if exists(join_uri(plan.output, INDEX_NAME)):
        return plan.num_photos
    filesystem, path = arrow_filesystem(plan.output)
    stats = spawn_on_driver_node(StageStats)
    with (
        logged_run(new_run_id()),
        hold_lease(join_uri(plan.output, _LOCK)),
        checkpointed(join_uri(path, _CHECKPOINT), filesystem),
        show_progress("pack", "photo", lambda: read_progress(stats, "pack"), plan.num_photos),
    ):
        listing = ray.data.read_parquet(
            join_uri(path, _LISTING), filesystem=filesystem, num_cpus=_READER_CPUS
        )
        listing = listing.repartition(max(1, plan.num_photos // _ROWS_PER_FILE))
        packed = listing.map_batches(
            StageActor,
            fn_constructor_kwargs={
                "name": "pack",
                "stage": PackPhotos,
                "stats": stats,
                "log": current_context(),
            },
            batch_format="pyarrow",
            batch_size=_ROWS_PER_GROUP,
            num_cpus=_READER_CPUS,
            compute=ActorPoolStrategy(size=num_readers),
        )
        packed.write_parquet(path, filesystem=filesystem, row_group_size=_ROWS_PER_GROUP)
    ray.kill(stats)
    _write_index(plan)
    return plan.num_photos


class PackPhotos:
    """Fetches listed photos; rows of :data:`rayboot.data.readers.containers.PACKED_SCHEMA`.

    A photo that is gone keeps its row, without bytes: ``generate`` says so later.
    """

    def __init__(self) -> None:
        self._fetcher = PhotoFetcher()

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of listed photos."""
        listed = table.to_pylist()
        fetched = self._fetcher.fetch(listed)
        rows = [_packed(row, photo) for row, photo in zip(listed, fetched, strict=True)]
        return pa.Table.from_pylist(rows, schema=PACKED_SCHEMA)


def _packed(row: dict, fetched: FetchedPhoto | FaceRejectedError) -> dict:
    kept = {name: row[name] for name in ("face_id", "dataset", "group_id", "is_frame", "is_test")}
    if isinstance(fetched, FaceRejectedError):
        return {**kept, "tag": f"missing {row['face_id']}"}
    tag = hashlib.sha256(fetched.photo)
    tag.update(hashlib.sha256(fetched.landmarks or b"").digest())
    return {
        **kept,
        "image": fetched.photo,
        "landmarks": fetched.landmarks,
        "landmarks_suffix": fetched.landmarks_suffix or None,
        "tag": tag.hexdigest(),
    }


def _write_index(plan: PackPlan) -> None:
    """The listing of what was written; of images and landmarks nothing is read."""
    parts = []
    names = [name for name in PACKED_SCHEMA.names if name not in ("image", "landmarks")]
    files = [name for name in list_files(plan.output) if _is_part(name)]
    for name in files:
        with open_file(join_uri(plan.output, name)) as file:
            part = pq.ParquetFile(file, pre_buffer=True).read(columns=names)
        rows = pa.array(range(len(part)), pa.int64())
        has = part["landmarks_suffix"].is_valid().to_pylist()
        known = {
            **{column: part[column] for column in names},
            "source_uri": pa.array([name] * len(part)),
            "source_offset": rows,
            "landmarks_uri": pa.array([name if there else None for there in has], pa.string()),
            "landmarks_offset": rows,
        }
        columns = [known.get(field.name, pa.nulls(len(part), field.type)) for field in PHOTO_SCHEMA]
        parts.append(pa.table(columns, schema=PHOTO_SCHEMA))
    index = pa.concat_tables(parts).sort_by("face_id")
    if len(index) != plan.num_photos or len(index["face_id"].unique()) != len(index):
        raise RaybootError(
            f"{plan.output}: {plan.num_photos} photos were listed, but {len(index)} are there; run "
            "the same command again"
        )
    buffer = io.BytesIO()
    pq.write_table(index, buffer)
    write_bytes(join_uri(plan.output, INDEX_NAME), buffer.getvalue())


def _is_part(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith("_run/")
