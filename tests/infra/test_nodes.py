"""The actors of each config for a cluster fit on its nodes."""

from decimal import Decimal
from typing import Any

import pytest

from rayboot.config import load_config
from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.rounds.round_config import RoundConfig
from rayboot.train.training_config import FinetuneConfig, FinetuneSettings
from tests.infra.manifests import ROOT, cluster_spec
from tests.infra.nodes import Actors, NodeGroup, evaluation, find_problems, pipeline, training

CONFIGS = ROOT / "configs"
_UNITS = {"Gi": 1, "Mi": Decimal(1) / 1024}


def gibibytes(quantity: str) -> float:
    return float(Decimal(quantity[:-2]) * _UNITS[quantity[-2:]])


def group_of(spec: dict[str, Any]) -> NodeGroup:
    (container,) = spec["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    return NodeGroup(
        spec["groupName"],
        spec["maxReplicas"],
        float(limits["cpu"]),
        float(limits.get("nvidia.com/gpu", 0)),
        gibibytes(limits["memory"]),
    )


def groups_of(folder: str) -> list[NodeGroup]:
    return [group_of(spec) for spec in cluster_spec(folder)["workerGroupSpecs"]]


def steps(config: RoundConfig) -> dict[str, list[Actors]]:
    """Returns the actors of each step; steps run one after the other, on the whole cluster."""
    return {
        "generate": pipeline(config.generate.pools),
        "finetune": training(config.finetune),
        "evaluate": evaluation(config.evaluation),
    }


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("generate-gpu-node.yaml", {"gpu": 1, "cpu": 0}),
        ("generate-gpu-cpu-nodes.yaml", {"gpu": 1, "cpu": 2}),
    ],
)
def test_generate_fits_on_its_nodes(name: str, counts: dict[str, int]) -> None:
    config = load_config(GenerateConfig, CONFIGS / name)
    groups = [group._replace(count=counts[group.name]) for group in groups_of("small")]
    assert find_problems(pipeline(config.pools), groups) == []


def test_spot_workers_fit() -> None:
    config = load_config(FinetuneConfig, CONFIGS / "finetune-spot.yaml")
    assert find_problems(training(config), groups_of("small")) == []


@pytest.mark.parametrize(
    ("name", "folder"), [("round-spot.yaml", "small"), ("round-ls3d-w.yaml", "ls3d-w")]
)
def test_a_round_fits(name: str, folder: str) -> None:
    config = load_config(RoundConfig, CONFIGS / name)
    for step, actors in steps(config).items():
        assert find_problems(actors, groups_of(f"{folder}/round")) == [], step


LARGEST_FULL_SIZE_BATCH = 16
"""Samples of the full-size network that a GPU of 24 GB is assumed to hold."""


@pytest.mark.parametrize("name", ["finetune-spot.yaml", "round-ls3d-w.yaml"])
def test_batches_of_the_full_size_network_are_divided(name: str) -> None:
    config: FinetuneSettings
    if name.startswith("round"):
        config = load_config(RoundConfig, CONFIGS / name).finetune
    else:
        config = load_config(FinetuneConfig, CONFIGS / name)
    num_workers = config.num_workers
    # With the smallest number of workers, each has the largest part of a batch.
    fewest = num_workers if isinstance(num_workers, int) else min(num_workers)
    share = config.optimizer.batch_size // fewest
    assert min(share, config.optimizer.micro_batch_size or share) <= LARGEST_FULL_SIZE_BATCH
    assert config.optimizer.batch_size == 64


def test_missing_resources_are_reported() -> None:
    node = NodeGroup("gpu", 1, 14, 1, 52)
    fitting = PoolConfig(num_render_actors=8, render_cpus=1, reconstruct_gpus=1)
    assert find_problems(pipeline(fitting), [node]) == []
    too_large = {
        "CPUs": fitting.replace(num_render_actors=14),
        "GPUs": fitting.replace(num_reconstruct_actors=2),
        "no node": fitting.replace(num_render_actors=1, render_cpus=15),
        "GiB": fitting.replace(num_readers=40),
    }
    for word, pools in too_large.items():
        problems = find_problems(pipeline(pools), [node])
        assert any(word in problem for problem in problems), (word, problems)
