"""Whether the actors of a config have room on groups of nodes."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.train.training_config import FinetuneSettings

__all__ = ["Actors", "NodeGroup", "evaluation", "find_problems", "pipeline", "training"]

FREE_CPUS = 2
"""That the engine reads, filters and writes with, see :func:`rayboot.cluster.resources.require_resources`."""

STORE_SHARE = 0.3
"""Of a node's memory that Ray keeps for its object store."""

MEMORY_GIB = {
    # With the process that does the work apart from its actor. Renderers were measured at 0.35 GB
    # for 164,000 faces, and a whole run with two of them, two readers, a network and the driver at
    # 4.2 GB (docs/generate.md); the rest is reserve.
    "read": 1.0,
    "turn": 1.0,
    # Not measured on a GPU: CUDA's own, the network, and batches in page-locked memory.
    "reconstruct": 6.0,
    "train": 16.0,
    # The full-size network in float32, 16 faces at once.
    "evaluate": 3.0,
}


class NodeGroup(NamedTuple):
    """Nodes of one kind: how many, and what each offers."""

    name: str
    count: int
    cpus: float
    gpus: float
    memory_gib: float


class Actors(NamedTuple):
    """Actors of one kind: how many, and what each takes."""

    kind: str
    count: int
    cpus: float
    gpus: float


def pipeline(pools: PoolConfig) -> list[Actors]:
    """The actors of ``generate``."""
    return [
        Actors("read", pools.num_readers, pools.reader_cpus, 0),
        Actors(
            "reconstruct",
            pools.num_reconstruct_actors,
            pools.reconstruct_cpus,
            pools.reconstruct_gpus,
        ),
        Actors("turn", pools.num_render_actors, pools.render_cpus, pools.render_gpus),
    ]


def training(settings: FinetuneSettings) -> list[Actors]:
    """The most workers of ``finetune``."""
    workers = settings.num_workers
    most = workers if isinstance(workers, int) else max(workers)
    return [Actors("train", most, settings.cpus_per_worker, float(settings.use_gpu))]


def evaluation(config: MeasureConfig) -> list[Actors]:
    """The actors that measure faces."""
    return [Actors("evaluate", config.num_actors, config.cpus_per_actor, config.gpus_per_actor)]


def find_problems(actors: Iterable[Actors], groups: Iterable[NodeGroup]) -> list[str]:
    """Why the actors have no room at once, a line each."""
    actors, groups = list(actors), list(groups)
    problems = []
    cpus = sum(group.count * group.cpus for group in groups)
    wanted = sum(kind.count * kind.cpus for kind in actors) + FREE_CPUS
    if wanted > cpus:
        problems.append(f"{wanted:g} CPUs of {cpus:g}")
    gpus = sum(group.count * group.gpus for group in groups)
    if sum(kind.count * kind.gpus for kind in actors) > gpus:
        problems.append(f"more than {gpus:g} GPUs")
    left = _place(actors, groups)
    if left:
        problems.append(f"no node has room for {left}")
    for group in groups:
        memory = _most_memory(actors, group)
        if memory > group.memory_gib:
            problems.append(f"{group.name}: {memory:.1f} GiB of {group.memory_gib:g}")
    return problems


def _place(actors: list[Actors], groups: list[NodeGroup]) -> str:
    """The first kind of actor that finds no node; empty where all do."""
    # Nodes without GPUs first, as Ray does for actors that need none.
    nodes = [
        [group.gpus, group.cpus]
        for group in sorted(groups, key=lambda group: group.gpus)
        for _ in range(group.count)
    ]
    for kind in sorted(actors, key=lambda kind: (-kind.gpus, -kind.cpus)):
        for _ in range(kind.count):
            for node in nodes:
                if node[0] >= kind.gpus and node[1] >= kind.cpus - 1e-9:
                    node[0] -= kind.gpus
                    node[1] -= kind.cpus
                    break
            else:
                return kind.kind
    return ""


def _most_memory(actors: list[Actors], group: NodeGroup) -> float:
    """What one node holds when chance brings the hungriest actors together, store included."""
    memory, cpus, gpus = STORE_SHARE * group.memory_gib, group.cpus, group.gpus
    for kind in sorted(actors, key=lambda kind: -MEMORY_GIB[kind.kind] / kind.cpus):
        count = min(kind.count, math.floor(cpus / kind.cpus + 1e-9))
        if kind.gpus:
            count = min(count, math.floor(gpus / kind.gpus + 1e-9))
            gpus -= count * kind.gpus
        cpus -= count * kind.cpus
        memory += count * MEMORY_GIB[kind.kind]
    return memory
