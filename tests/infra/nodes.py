"""Checks whether groups of nodes have the resources for the actors of a config."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.train.training_config import FinetuneSettings

__all__ = ["Actors", "NodeGroup", "evaluation", "find_problems", "pipeline", "training"]

FREE_CPUS = 2
"""CPUs for the tasks that read, filter and write.

See :func:`rayboot.cluster.resources.require_resources`.
"""

STORE_FRACTION = 0.3
"""Fraction of the memory of a node that Ray reserves for its object store."""

MEMORY_GIB = {
    # Including the subprocess that does the work. Renderers were measured at 0.35 GB
    # for 164,000 faces, and a whole run with two of them, two readers, a network and the driver at
    # 4.2 GB (docs/results/throughput.md); the rest is reserve.
    "read": 1.0,
    "turn": 1.0,
    # Not measured on a GPU: CUDA, the network, and batches in page-locked memory.
    "reconstruct": 6.0,
    "train": 16.0,
    # The full-size network in float32, with batches of 16 faces.
    "evaluate": 3.0,
}


class NodeGroup(NamedTuple):
    """Nodes of one kind: their number, and the resources of each."""

    name: str
    count: int
    cpus: float
    gpus: float
    memory_gib: float


class Actors(NamedTuple):
    """Actors of one kind: their number, and the resources of each."""

    kind: str
    count: int
    cpus: float
    gpus: float


def pipeline(pools: PoolConfig) -> list[Actors]:
    """Returns the actors of ``generate``."""
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
    """Returns the maximum number of workers of ``finetune``."""
    workers = settings.num_workers
    count = workers if isinstance(workers, int) else max(workers)
    return [Actors("train", count, settings.cpus_per_worker, float(settings.use_gpu))]


def evaluation(config: MeasureConfig) -> list[Actors]:
    """Returns the actors that measure faces."""
    return [Actors("evaluate", config.num_actors, config.cpus_per_actor, config.gpus_per_actor)]


def find_problems(actors: Iterable[Actors], groups: Iterable[NodeGroup]) -> list[str]:
    """Returns the reasons why the actors do not fit on the nodes together, one line each."""
    actors, groups = list(actors), list(groups)
    problems = []
    cpus = sum(group.count * group.cpus for group in groups)
    needed = sum(kind.count * kind.cpus for kind in actors) + FREE_CPUS
    if needed > cpus:
        problems.append(f"{needed:g} CPUs of {cpus:g}")
    gpus = sum(group.count * group.gpus for group in groups)
    if sum(kind.count * kind.gpus for kind in actors) > gpus:
        problems.append(f"more than {gpus:g} GPUs")
    unassigned = _assign(actors, groups)
    if unassigned:
        problems.append(f"no node has the resources for {unassigned}")
    for group in groups:
        memory = _max_memory_gib(actors, group)
        if memory > group.memory_gib:
            problems.append(f"{group.name}: {memory:.1f} GiB of {group.memory_gib:g}")
    return problems


def _assign(actors: list[Actors], groups: list[NodeGroup]) -> str:
    """Assigns actors to nodes; returns the kind of the first that fits on none, or \"\"."""
    # Nodes without GPUs are used first, as by Ray for actors that need none.
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


def _max_memory_gib(actors: list[Actors], group: NodeGroup) -> float:
    """Returns the memory of a node with the actors that need most of it, and its object store."""
    memory, cpus, gpus = STORE_FRACTION * group.memory_gib, group.cpus, group.gpus
    for kind in sorted(actors, key=lambda kind: -MEMORY_GIB[kind.kind] / kind.cpus):
        count = min(kind.count, math.floor(cpus / kind.cpus + 1e-9))
        if kind.gpus:
            count = min(count, math.floor(gpus / kind.gpus + 1e-9))
            gpus -= count * kind.gpus
        cpus -= count * kind.cpus
        memory += count * MEMORY_GIB[kind.kind]
    return memory
