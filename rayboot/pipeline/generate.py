"""Photographs to a pairs data set: the stages, put together with Ray Data.

What can be refused is refused before Ray starts. Ray Data's own checkpoint
notes each finished photo, so that the same command again does the rest.
"""

import gc
import hashlib
import io
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.data.checkpoint import CheckpointConfig
from ray.util.annotations import RayDeprecationWarning

import rayboot
from rayboot.cluster import require_room
from rayboot.data.detector import FaceDetector
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
from rayboot.errors import RaybootError, RequestError
from rayboot.models import VRNConfig, read_config
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.read import ReadPhotos
from rayboot.pipeline.reconstruct import ReconstructFaces
from rayboot.pipeline.turn import TurnFaces
from rayboot.progress import Counting, follow_progress
from rayboot.registry.models import resolve_weights

__all__ = ["GeneratePlan", "GenerateSummary", "generate", "prepare", "summarize"]

_LOG = logging.getLogger(__name__)

_LISTING, _STAMP, _CHECKPOINT = "_run/listing.parquet", "_run/stamp.json", "_run/checkpoint"

_ROWS_PER_BLOCK = 32


class GenerateSummary(NamedTuple):
    """What a data set holds in the end; rejects by (stage, reason)."""

    uri: str
    num_faces: int
    num_views: int
    num_left_out: int
    rejects: dict[tuple[str, str], int]


class GeneratePlan(NamedTuple):
    """A checked request: everything that is known before Ray starts."""

    config: GenerateConfig
    output: str
    weights: Path
    network: VRNConfig
    model_digest: str
    stamp: dict[str, str]
    num_photos: int


def prepare(config: GenerateConfig) -> GeneratePlan:
    """Checks a request and lists its photos; needs no Ray.

    Raises:
        RequestError: input or output is missing, there is no photo or no such model,
            the output cannot be written, or holds what another request made.
    """
    if config.input is None or config.output is None:
        raise RequestError("generate needs an input and an output: in the config, or as flags")
    weights = resolve_weights(config.model, config.tracking_uri)
    model_digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    stamp = {
        "config_digest": config.content_digest(),
        "model_digest": model_digest,
        "code_version": rayboot.__version__,
    }
    photos = mark_duplicates(list_inputs(config.input))
    if config.selection.detect_faces and photos["landmarks_uri"].null_count:
        FaceDetector()  # refuses where the extra is not installed, before Ray starts
    require_writable(config.output)
    _require_same(config.output, stamp)
    if not exists(join_uri(config.output, _LISTING)):
        buffer = io.BytesIO()
        pq.write_table(photos, buffer)
        write_bytes(join_uri(config.output, _LISTING), buffer.getvalue())
        write_bytes(join_uri(config.output, _STAMP), json.dumps(stamp, indent=1).encode())
    return GeneratePlan(
        config, config.output, weights, read_config(weights), model_digest, stamp, len(photos)
    )


def _require_same(output: str, stamp: dict[str, str]) -> None:
    """Another config, model or code never mixes into what is there."""
    if not exists(join_uri(output, _STAMP)):
        return
    former = json.loads(read_bytes(join_uri(output, _STAMP)))
    for key, value in stamp.items():
        if former.get(key) != value:
            raise RequestError(
                f"output {output} was begun with another {key} ({former.get(key)}, this run has "
                f"{value}); choose a new output, or remove the old one"
            )


def generate(plan: GeneratePlan) -> GenerateSummary:
    """Makes, or finishes, the pairs data set; Ray must be initialised.

    Args:
        plan: from :func:`prepare`.
    """
    if read_manifest(plan.output) is not None:
        _LOG.info("%s is finished already", plan.output)
        return summarize(plan.output)
    if num_left := plan.num_photos - _count_rows(plan.output):
        pools = plan.config.pools
        require_room(pools.total_cpus(), pools.total_gpus())
        filesystem, path = arrow_filesystem(plan.output)
        with (
            _checkpointed(join_uri(path, _CHECKPOINT), filesystem),
            follow_progress("generate", "photo", num_left) as board,
        ):
            rows = _stages(plan, board)
            rows.write_parquet(path, filesystem=filesystem, partition_cols=["outcome"])
    return _finish(plan)


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


def _stages(plan: GeneratePlan, board: Any) -> Dataset:
    pools = plan.config.pools
    filesystem, path = arrow_filesystem(join_uri(plan.output, _LISTING))
    # Finished photos are filtered right after this read, before a byte of them is fetched.
    listing = ray.data.read_parquet(path, filesystem=filesystem, num_cpus=pools.reader_cpus)
    listing = listing.repartition(max(1, plan.num_photos // _ROWS_PER_BLOCK))
    with warnings.catch_warnings(action="ignore", category=RayDeprecationWarning):
        return _map_stages(plan, board, listing)


def _map_stages(plan: GeneratePlan, board: Any, listing: Dataset) -> Dataset:
    config, pools = plan.config, plan.config.pools
    shape = (plan.network.slices, plan.network.resolution, plan.network.resolution)
    cropped = listing.map_batches(
        ReadPhotos(plan.network.resolution, config.selection, config.selection.detect_faces),
        batch_format="pyarrow",
        batch_size=pools.batch_size,
        num_cpus=pools.reader_cpus,
        # At a tenth of a CPU each, Ray would start ten a core, each a process of its own.
        compute=TaskPoolStrategy(size=pools.num_readers),
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
        TurnFaces,
        fn_constructor_kwargs={
            "config": config,
            "shape": shape,
            "model_version": plan.model_digest,
            "config_digest": plan.stamp["config_digest"],
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
