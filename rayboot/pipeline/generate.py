"""Photographs to a pairs data set: the stages, put together with Ray Data.

Ray Data's own checkpoint notes each finished photo, so that the same command again
does the rest.
"""

import gc
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.checkpoint import CheckpointConfig
from ray.util.annotations import RayDeprecationWarning

from rayboot.cluster import require_room
from rayboot.data.lock import exclusive
from rayboot.data.manifest import Manifest, read_manifest, write_manifest
from rayboot.data.storage import (
    arrow_filesystem,
    exists,
    join_uri,
    list_files,
    open_file,
    read_bytes,
    require_writable,
    write_bytes,
)
from rayboot.errors import RaybootError
from rayboot.pipeline.isolation import Isolated
from rayboot.pipeline.listing import know_pictures
from rayboot.pipeline.read import ReadPhotos, reject_read
from rayboot.pipeline.reconstruct import ReconstructFaces
from rayboot.pipeline.request import LISTING, TEST_PHOTOS, GeneratePlan
from rayboot.pipeline.turn import TurnFaces, reject_turn
from rayboot.progress import Counting, follow_progress

__all__ = ["GenerateSummary", "generate", "summarize"]

_LOG = logging.getLogger(__name__)

_CHECKPOINT, _LOCK = "_run/checkpoint", "_run/lock.json"
_TEST_PICTURES = "_run/test-pictures.parquet"

_ROWS_PER_BLOCK = 32


class GenerateSummary(NamedTuple):
    """What a data set holds in the end; rejects by (stage, reason)."""

    uri: str
    num_faces: int
    num_views: int
    num_left_out: int
    rejects: dict[tuple[str, str], int]


def generate(plan: GeneratePlan) -> GenerateSummary:
    """Makes, or finishes, the pairs data set; Ray must be initialised.

    Args:
        plan: from :func:`prepare`.

    Raises:
        BusyError: another run writes to the same output.
        StoreError: the object store is in trouble for long; what is finished is kept.
    """
    if read_manifest(plan.output) is not None:
        _LOG.info("%s is finished already", plan.output)
        return summarize(plan.output)
    with exclusive(join_uri(plan.output, _LOCK)):
        if num_left := plan.num_photos - _count_rows(plan.output):
            _run_stages(plan, num_left)
        return _finish(plan)


def _run_stages(plan: GeneratePlan, num_left: int) -> None:
    pools = plan.config.pools
    require_room(pools.total_cpus(), pools.total_gpus())
    filesystem, path = arrow_filesystem(plan.output)
    tested = _find_test_pictures(plan)
    with (
        _checkpointed(join_uri(path, _CHECKPOINT), filesystem),
        follow_progress("generate", "photo", num_left) as board,
    ):
        rows = _stages(plan, board, tested)
        rows.write_parquet(path, filesystem=filesystem, partition_cols=["outcome"])


def _find_test_pictures(plan: GeneratePlan) -> str | None:
    """URI of the pictures that no photo may show; None where there are none."""
    if not plan.left_out["test_photos_left_out"]:
        return None
    uri = join_uri(plan.output, _TEST_PICTURES)
    if not exists(uri):
        with open_file(join_uri(plan.output, TEST_PHOTOS)) as file:
            know_pictures(pq.read_table(file)).save(uri)
    return uri


def _retries() -> dict[str, int]:
    """Of an actor; Ray's default is for ever.

    A photo that crashes the process would then be tried without end, instead of
    failing the run. Ray 2.64 is to drop the one way to say so, hence the bound in
    ``pyproject.toml``.
    """
    return {"max_restarts": 4, "max_task_retries": 2}


@contextmanager
def _checkpointed(path: str, filesystem: Any) -> Iterator[None]:
    context = DataContext.get_current()
    former = (context.checkpoint_config, context.enable_progress_bars)
    context.checkpoint_config = CheckpointConfig(
        id_column="face_id",
        checkpoint_path=path,
        override_filesystem=filesystem,
        # Kept until the manifest stands: without it a rerun would start anew.
        delete_checkpoint_on_success=False,
    )
    # One bar over photos says more than one for each operator.
    context.enable_progress_bars = False
    try:
        yield
    finally:
        context.checkpoint_config, context.enable_progress_bars = former
        # A failed run's actors keep their CPUs until its exception's cycle is collected.
        gc.collect()


def _count_rows(output: str) -> int:
    return sum(
        pq.read_metadata(open_file(join_uri(output, name))).num_rows
        for name in list_files(output)
        if name.startswith("outcome=") and name.endswith(".parquet")
    )


def _stages(plan: GeneratePlan, board: Any, tested: str | None) -> Dataset:
    pools = plan.config.pools
    filesystem, path = arrow_filesystem(join_uri(plan.output, LISTING))
    # Finished photos are filtered right after this read, before a byte of them is fetched.
    listing = ray.data.read_parquet(path, filesystem=filesystem, num_cpus=pools.reader_cpus)
    listing = listing.repartition(max(1, plan.num_photos // _ROWS_PER_BLOCK))
    with warnings.catch_warnings(action="ignore", category=RayDeprecationWarning):
        return _map_stages(plan, board, tested, listing)


def _map_stages(
    plan: GeneratePlan, board: Any, tested: str | None, listing: Dataset
) -> Dataset:
    config, pools = plan.config, plan.config.pools
    shape = (plan.network.slices, plan.network.resolution, plan.network.resolution)
    cropped = listing.map_batches(
        Isolated,
        fn_constructor_kwargs={
            "make": ReadPhotos,
            "arguments": {
                "size": plan.network.resolution,
                "selection": config.selection,
                "detect_faces": config.selection.detect_faces,
                "test_pictures": tested,
            },
            "reject": reject_read,
            "seconds_a_photo": pools.seconds_a_photo,
        },
        batch_format="pyarrow",
        batch_size=pools.batch_size,
        num_cpus=pools.reader_cpus,
        ray_remote_args_fn=_retries,
        compute=ActorPoolStrategy(size=pools.num_readers),
    )
    reconstructed = cropped.map_batches(
        ReconstructFaces,
        fn_constructor_kwargs={
            "weights": str(plan.weights),
            "config": config.inference,
            "batch_size": pools.batch_size,
            "use_gpu": pools.reconstruct_gpus > 0,
            "isovalue": config.isovalue,
            "cell": config.cell_px(plan.network.resolution),
        },
        batch_format="pyarrow",
        batch_size=pools.batch_size,
        num_cpus=pools.reconstruct_cpus,
        num_gpus=pools.reconstruct_gpus or None,
        ray_remote_args_fn=_retries,
        compute=ActorPoolStrategy(size=pools.num_reconstruct_actors),
    )
    return reconstructed.map_batches(
        Isolated,
        fn_constructor_kwargs={
            "make": TurnFaces,
            "arguments": {
                "config": config,
                "shape": shape,
                "model_version": plan.model_digest,
                "config_digest": plan.stamp["config_digest"],
            },
            "reject": reject_turn,
            "seconds_a_photo": pools.seconds_a_photo,
            "on_rows": Counting(board),
        },
        batch_format="pyarrow",
        batch_size=pools.batch_size,
        num_cpus=pools.render_cpus,
        ray_remote_args_fn=_retries,
        compute=ActorPoolStrategy(size=pools.num_render_actors),
    )


def _finish(plan: GeneratePlan) -> GenerateSummary:
    summary = summarize(plan.output)
    num_rejects = sum(summary.rejects.values())
    if summary.num_faces + num_rejects != plan.num_photos:
        raise RaybootError(
            f"{plan.output}: {plan.num_photos} photos were listed, but {summary.num_faces} faces "
            f"and {num_rejects} rejects are there; run the same command again"
        )
    counts = {
        "faces": summary.num_faces,
        "views": summary.num_views,
        "views_left_out": summary.num_left_out,
        "rejects": num_rejects,
        **plan.left_out,
        **{f"reject/{stage}/{why}": n for (stage, why), n in sorted(summary.rejects.items())},
    }
    config = plan.config.model_dump(mode="json")
    write_manifest(plan.output, Manifest(config=config, counts=counts, **plan.stamp))
    return summary


def summarize(output: str) -> GenerateSummary:
    """Counts what is written at ``output``, finished or not."""
    faces, left_out, views = 0, 0, 0
    rejects: Counter[tuple[str, str]] = Counter()
    for name in list_files(output):
        if not name.endswith(".parquet") or not name.startswith("outcome="):
            continue
        # Only the columns counted are fetched, not the images beside them.
        with open_file(join_uri(output, name)) as file:
            part = pq.ParquetFile(file)
            if name.startswith("outcome=face/"):
                table = part.read(columns=["num_views_left_out", "views.list.element.yaw_deg"])
                faces += len(table)
                left_out += sum(table["num_views_left_out"].to_pylist())
                views += sum(len(row) for row in table["views"].to_pylist())
            else:
                table = part.read(columns=["stage", "reason"])
                pairs = (table[key].to_pylist() for key in ("stage", "reason"))
                rejects.update(zip(*pairs, strict=True))
    return GenerateSummary(output, faces, views, left_out, dict(rejects))
