"""The stages of ``generate`` as Ray Data has them: who runs where, on what."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ray.data import Dataset

from rayboot.pipeline.actor import map_with_actor_pool
from rayboot.pipeline.generate_request import GeneratePlan
from rayboot.pipeline.isolation import Stage, SubprocessSpec
from rayboot.pipeline.stages.crop_faces import CropFaces, reject_crop
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.render_views import RenderViews, reject_render

__all__ = ["LAST_STAGE", "build_generate_graph"]

LAST_STAGE = "turn"

_BATCHES_ON_GPU = 4
"""That the network's actor takes in one call: one is copied while the next is computed."""


def build_generate_graph(
    listing: Dataset, plan: GeneratePlan, stats: Any, tested: str | None
) -> Dataset:
    """Listed photos to rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`.

    Args:
        listing: rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`, ``duplicate_of`` added.
        plan: the request.
        stats: handle of an actor of :class:`~rayboot.pipeline.actor.StageStats`.
        tested: URI of the pictures that no photo may show; None where there are none.
    """
    pools = plan.config.pools
    cropped = map_with_actor_pool(
        listing,
        {"name": "read", "stage": _read_stage(plan, tested), "stats": stats},
        batch_size=pools.batch_size,
        num_actors=pools.num_readers,
        num_cpus=pools.reader_cpus,
    )
    reconstructed = map_with_actor_pool(
        cropped,
        {"name": "reconstruct", "stage": _reconstruct_stage(plan), "stats": stats},
        batch_size=pools.batch_size * (_BATCHES_ON_GPU if pools.reconstruct_gpus else 1),
        num_actors=pools.num_reconstruct_actors,
        num_cpus=pools.reconstruct_cpus,
        num_gpus=pools.reconstruct_gpus or None,
    )
    return map_with_actor_pool(
        reconstructed,
        {"name": LAST_STAGE, "stage": _turn_stage(plan), "stats": stats},
        batch_size=pools.batch_size,
        num_actors=pools.num_render_actors,
        num_cpus=pools.render_cpus,
        num_gpus=pools.render_gpus or None,
    )


def _read_stage(plan: GeneratePlan, tested: str | None) -> SubprocessSpec:
    config = plan.config
    make = partial(
        CropFaces,
        size=plan.network.resolution,
        selection=config.selection,
        detect_faces=config.selection.detect_faces,
        test_hashes=tested,
    )
    return SubprocessSpec.create(make, reject_crop, config.pools.photo_timeout_s)


def _reconstruct_stage(plan: GeneratePlan) -> Callable[[], Stage]:
    config = plan.config
    # A volume has one size whatever the photo: no photo can crash this one.
    return partial(
        PredictVolume,
        weights=plan.weights,
        config=config.inference,
        batch_size=config.pools.batch_size,
        use_gpu=config.pools.reconstruct_gpus > 0,
        isovalue=config.isovalue,
        cell=config.cell_px(plan.network.resolution),
    )


def _turn_stage(plan: GeneratePlan) -> SubprocessSpec:
    make = partial(
        RenderViews,
        config=plan.config,
        shape=plan.volume_shape(),
        model_version=plan.model_digest,
        config_digest=plan.stamp["config_digest"],
    )
    return SubprocessSpec.create(make, reject_render, plan.config.pools.photo_timeout_s)
