"""The graph of a run: its stages in order, and the Ray Data operators that they become."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rayboot.models.network_config import InferenceConfig, NetworkConfig
from rayboot.pipeline.generate_config import PoolConfig, SelectionConfig
from rayboot.pipeline.isolation import Stage, SubprocessSpec
from rayboot.pipeline.stages.crop_faces import CropFaces, reject_crop
from rayboot.pipeline.stages.predict_volume import PredictVolume

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["StageSpec", "build_graph", "crop_stage", "predict_stage"]

_BATCHES_ON_GPU = 4
"""Batches that the network's actor receives in one call on a GPU: one is copied while the next is
computed."""


class StageSpec(NamedTuple):
    """One stage of a run: what it executes, in how many actors, with which resources.

    Attributes:
        name: Name in progress, metrics and logs.
        stage: Makes the stage in the actor's process; or how to run it in a process of its own.
        batch_size: Number of rows that a call receives.
        num_actors: Number of actors of the pool.
        num_cpus: Logical CPUs of each actor.
        num_gpus: GPUs of each actor, a fraction if they share one.
    """

    name: str
    stage: Callable[[], Stage] | SubprocessSpec
    batch_size: int
    num_actors: int
    num_cpus: float
    num_gpus: float = 0.0

    def bundle(self) -> dict[str, float]:
        """Resources of one actor, as Ray counts them."""
        return {"CPU": self.num_cpus, **({"GPU": self.num_gpus} if self.num_gpus else {})}

    def create(self) -> Stage:
        """The stage itself, to be called in this process."""
        return self.stage.create_stage() if isinstance(self.stage, SubprocessSpec) else self.stage()


def crop_stage(
    network: NetworkConfig,
    pools: PoolConfig,
    selection: SelectionConfig | None,
    detect_faces: bool,
    test_hashes: str | None = None,
    all_faces: bool = False,
    with_closeups: bool = False,
) -> StageSpec:
    """The stage that reads photos and crops their faces.

    Args:
        network: Network that receives the crops.
        pools: Actors of the run.
        selection: Limits of near-frontal poses; None accepts every pose.
        detect_faces: Whether faces are detected in photos without landmarks.
        test_hashes: URI of the :class:`~rayboot.data.perceptual_hash.HashIndex` of the photos
            kept for testing; None where there are none.
        all_faces: Whether all faces that are detected in a photo are cropped, or the largest.
        with_closeups: Whether crops are also made in the photo's resolution, for textures.
    """
    make = partial(
        CropFaces,
        size=network.resolution,
        selection=selection,
        detect_faces=detect_faces,
        test_hashes=test_hashes,
        all_faces=all_faces,
        with_closeups=with_closeups,
    )
    spec = SubprocessSpec.create(make, reject_crop, pools.photo_timeout_s)
    return StageSpec("read", spec, pools.batch_size, pools.num_readers, pools.reader_cpus)


def predict_stage(
    weights: str,
    inference: InferenceConfig,
    pools: PoolConfig,
    isovalue: float = 0.5,
    cell: int = 0,
) -> StageSpec:
    """The stage that predicts an occupancy volume for each crop.

    A volume has one size whatever the photo, so no photo can crash this stage: it needs no
    process of its own.

    Args:
        weights: URI of the network's weights.
        inference: Settings of the network.
        pools: Actors of the run.
        isovalue: Voxels at or above it are occupied.
        cell: Edge of the cells that the surface is extracted on, px; 0 for voxels.
    """
    make = partial(
        PredictVolume,
        weights=weights,
        config=inference,
        batch_size=pools.batch_size,
        use_gpu=pools.reconstruct_gpus > 0,
        isovalue=isovalue,
        cell=cell,
    )
    num_batches = _BATCHES_ON_GPU if pools.reconstruct_gpus else 1
    return StageSpec(
        "reconstruct",
        make,
        pools.batch_size * num_batches,
        pools.num_reconstruct_actors,
        pools.reconstruct_cpus,
        pools.reconstruct_gpus,
    )


def build_graph(listing: "Dataset", stages: Sequence[StageSpec], stats: Any) -> "Dataset":
    """The rows that the stages make of listed photos, as a lazy Ray Data set.

    Args:
        listing: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`.
        stages: Stages in their order; each is a pool of actors.
        stats: Handle of an actor of :class:`~rayboot.pipeline.actor.StageStats`.
    """
    from rayboot.pipeline.actor import map_with_actor_pool

    rows = listing
    for spec in stages:
        rows = map_with_actor_pool(
            rows,
            {"name": spec.name, "stage": spec.stage, "stats": stats},
            batch_size=spec.batch_size,
            num_actors=spec.num_actors,
            num_cpus=spec.num_cpus,
            num_gpus=spec.num_gpus or None,
        )
    return rows
