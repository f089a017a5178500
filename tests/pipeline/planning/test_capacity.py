import math

import pytest

from rayboot.pipeline.blocks import WRITE_CPUS, rows_per_block
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import (
    Calibration,
    Capacity,
    Node,
    compute_capacity,
    suggest_pools,
)

ON_CPU = Calibration(
    num_photos=200,
    num_faces=150,
    cpu_s={"read": 0.01, "reconstruct": 0.30, "turn": 0.09},
    busy_s={"read": 0.05, "reconstruct": 0.32, "turn": 0.10},
    on_gpu=False,
    start_s=30.0,
    engine_rate=500.0,
    write_s=0.02,
    write_cpu_s=0.01,
    count_s=0.01,
    shape=(96, 96, 96),
)
ON_GPU = ON_CPU._replace(
    cpu_s={"read": 0.01, "reconstruct": 0.001, "turn": 0.039},
    busy_s={"read": 0.05, "reconstruct": 0.001, "turn": 0.05},
    on_gpu=True,
)


def capacity_of(
    calibration: Calibration, node: Node, num_nodes: int, num_photos: int = 200_000
) -> Capacity:
    pools = PoolConfig(reconstruct_gpus=calibration.on_gpu)
    return compute_capacity(calibration, num_photos, node, num_nodes, pools)


def total_resources(pools: PoolConfig, kind: str) -> float:
    return math.fsum(actor.get(kind, 0.0) for actor in pools.bundles())


def test_processors_limit_a_machine_without_a_gpu() -> None:
    capacity = capacity_of(ON_CPU, Node(2), 1)
    assert (capacity.bottleneck, capacity.photos_per_s) == ("processors", pytest.approx(2 / 0.4))
    assert capacity.hours == pytest.approx((200_000 / 5 + 30) / 3600)
    assert capacity_of(ON_CPU, Node(2), 8).photos_per_s == pytest.approx(8 * capacity.photos_per_s)


def test_the_bottleneck_changes_with_the_nodes() -> None:
    # 16 cores render 320 photos per second; the GPU would reconstruct 1000.
    assert capacity_of(ON_GPU, Node(16, 1), 1).bottleneck == "processors"
    slow = ON_GPU._replace(engine_rate=100)
    assert capacity_of(slow, Node(96, 1), 1).bottleneck == "Ray's driver"
    assert capacity_of(ON_GPU._replace(engine_rate=1e6), Node(96, 1), 1).bottleneck == "GPUs"
    many_nodes = capacity_of(ON_GPU, Node(16, 1), 64, num_photos=50_000)
    # 50,000 photos have eight blocks of 128 for each of 48 renderers.
    assert (many_nodes.photos_per_s, many_nodes.bottleneck) == (
        pytest.approx(48 / 0.039),
        "Ray's driver",
    )
    assert (many_nodes.rows_per_block, many_nodes.pools.num_render_actors) == (128, 48)
    assert many_nodes.node_hours == pytest.approx(64 * many_nodes.hours)
    assert capacity_of(ON_GPU, Node(16, 1), 64, num_photos=5000).bottleneck == "the start"


@pytest.mark.parametrize(
    ("calibration", "node", "num_nodes"),
    [
        (ON_CPU, Node(8), 1),
        (ON_CPU, Node(16), 4),
        (ON_GPU, Node(16, 1), 2),
        (ON_GPU, Node(8, 4), 8),
    ],
)
def test_pools_reach_the_rate_and_leave_cpus_free(
    calibration: Calibration, node: Node, num_nodes: int
) -> None:
    capacity = capacity_of(calibration, node, num_nodes)
    pools = capacity.pools
    assert pools.num_readers >= capacity.photos_per_s * calibration.busy_s["read"]
    assert pools.num_render_actors >= capacity.photos_per_s * calibration.cpu_s["turn"]
    if calibration.on_gpu:
        assert total_resources(pools, "GPU") == num_nodes * node.gpus
    else:
        assert (
            pools.num_reconstruct_actors >= capacity.photos_per_s * calibration.cpu_s["reconstruct"]
        )
    assert total_resources(pools, "CPU") <= num_nodes * node.cpus - 2


@pytest.mark.parametrize(
    ("reconstruct_gpus", "render_gpus", "networks"),
    [(0.5, 0.03, 1), (0.1, 0.03, 6), (0.5, 0.1, 1), (1.0, 0.03, 1)],
)
def test_renderers_on_gpus_leave_networks_the_rest(
    reconstruct_gpus: float, render_gpus: float, networks: int
) -> None:
    pools = PoolConfig(reconstruct_gpus=reconstruct_gpus, render_gpus=render_gpus)
    suggested = compute_capacity(ON_GPU, 200_000, Node(16, 1), 1, pools).pools
    assert suggested.num_reconstruct_actors == networks
    assert total_resources(suggested, "GPU") <= 1 + (render_gpus if reconstruct_gpus == 1 else 1e-9)


def test_a_machine_without_free_cpus_still_has_actors() -> None:
    pools = suggest_pools(ON_CPU, 5.0, Node(2), 1, PoolConfig(batch_size=4))
    assert pools.batch_size == 4
    assert min(pools.num_readers, pools.num_reconstruct_actors, pools.num_render_actors) >= 1
    assert total_resources(pools, "CPU") < 1


def test_larger_blocks_let_the_driver_keep_more_actors_busy() -> None:
    # 64 nodes could process 20,000 photos per second, the driver 15.6 blocks.
    small, large = (capacity_of(ON_GPU, Node(16, 1), 64, count) for count in (5_000, 100_000_000))
    assert (small.rows_per_block, small.photos_per_s) == (32, 500.0)
    assert (large.rows_per_block, large.photos_per_s) == (256, 4000.0)
    assert large.bottleneck == "Ray's driver"
    assert large.pools.num_render_actors >= 4000 * ON_GPU.cpu_s["turn"]


@pytest.mark.parametrize("count", [5_000, 50_000, 500_000, 5_000_000])
@pytest.mark.parametrize("num_nodes", [1, 8, 64])
def test_a_run_has_blocks_at_least_as_large_as_planned(count: int, num_nodes: int) -> None:
    capacity = capacity_of(ON_GPU, Node(16, 1), num_nodes, count)
    assert rows_per_block(count, capacity.pools, ON_GPU.shape) >= capacity.rows_per_block


def test_tasks_that_write_have_cpus_outside_the_pools() -> None:
    slow = ON_GPU._replace(write_s=1.0, engine_rate=1e6)
    capacity = capacity_of(slow, Node(16, 1), 8)
    num_writers = (
        capacity.photos_per_s
        / capacity.rows_per_block
        * slow.write_block_s(capacity.rows_per_block)
    )
    assert 20 < num_writers < (8 * 16 - capacity.pools.total_cpus()) / WRITE_CPUS
    assert capacity_of(slow, Node(16, 1), 1).pools.total_cpus() > 7
