import math

import pytest

from rayboot.pipeline.blocks import WRITE_CPUS, rows_per_block
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Forecast, Node, forecast, suggest_pools

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


def predict(measured: Calibration, node: Node, num_nodes: int, count: int = 200_000) -> Forecast:
    return forecast(measured, count, node, num_nodes, PoolConfig(reconstruct_gpus=measured.on_gpu))


def total(pools: PoolConfig, kind: str) -> float:
    return math.fsum(actor.get(kind, 0.0) for actor in pools.bundles())


def test_processors_hold_back_a_machine_without_a_gpu() -> None:
    made = predict(ON_CPU, Node(2), 1)
    assert (made.bottleneck, made.rate) == ("processors", pytest.approx(2 / 0.4))
    assert made.hours == pytest.approx((200_000 / 5 + 30) / 3600)
    assert predict(ON_CPU, Node(2), 8).rate == pytest.approx(8 * made.rate)


def test_what_holds_back_moves_with_the_nodes() -> None:
    # 16 cores render 320 a second, the GPU would take 1000.
    assert predict(ON_GPU, Node(16, 1), 1).bottleneck == "processors"
    slow = ON_GPU._replace(engine_rate=100)
    assert predict(slow, Node(96, 1), 1).bottleneck == "Ray's driver"
    assert predict(ON_GPU._replace(engine_rate=1e6), Node(96, 1), 1).bottleneck == "GPUs"
    far = predict(ON_GPU, Node(16, 1), 64, count=50_000)
    # 50,000 photos have eight blocks of 128 for each of 48 renderers.
    assert (far.rate, far.bottleneck) == (pytest.approx(48 / 0.039), "Ray's driver")
    assert (far.rows_per_block, far.pools.num_render_actors) == (128, 48)
    assert far.node_hours == pytest.approx(64 * far.hours)
    assert predict(ON_GPU, Node(16, 1), 64, count=5000).bottleneck == "the start"


@pytest.mark.parametrize(
    ("measured", "node", "num_nodes"),
    [
        (ON_CPU, Node(8), 1),
        (ON_CPU, Node(16), 4),
        (ON_GPU, Node(16, 1), 2),
        (ON_GPU, Node(8, 4), 8),
    ],
)
def test_pools_carry_the_rate_and_leave_room(
    measured: Calibration, node: Node, num_nodes: int
) -> None:
    made = predict(measured, node, num_nodes)
    pools = made.pools
    assert pools.num_readers >= made.rate * measured.busy_s["read"]
    assert pools.num_render_actors >= made.rate * measured.cpu_s["turn"]
    if measured.on_gpu:
        assert total(pools, "GPU") == num_nodes * node.gpus
    else:
        assert pools.num_reconstruct_actors >= made.rate * measured.cpu_s["reconstruct"]
    assert total(pools, "CPU") <= num_nodes * node.cpus - 2


@pytest.mark.parametrize(
    ("reconstruct_gpus", "render_gpus", "networks"),
    [(0.5, 0.03, 1), (0.1, 0.03, 6), (0.5, 0.1, 1), (1.0, 0.03, 1)],
)
def test_renderers_on_gpus_leave_networks_the_rest(
    reconstruct_gpus: float, render_gpus: float, networks: int
) -> None:
    pools = PoolConfig(reconstruct_gpus=reconstruct_gpus, render_gpus=render_gpus)
    made = forecast(ON_GPU, 200_000, Node(16, 1), 1, pools).pools
    assert made.num_reconstruct_actors == networks
    assert total(made, "GPU") <= 1 + (render_gpus if reconstruct_gpus == 1 else 1e-9)


def test_a_machine_without_room_still_has_actors() -> None:
    pools = suggest_pools(ON_CPU, 5.0, Node(2), 1, PoolConfig(batch_size=4))
    assert pools.batch_size == 4
    assert min(pools.num_readers, pools.num_reconstruct_actors, pools.num_render_actors) >= 1
    assert total(pools, "CPU") < 1


def test_larger_blocks_let_the_driver_keep_more_actors_busy() -> None:
    # 64 nodes could do 20,000 photos a second, the driver 15.6 blocks.
    few, many = (predict(ON_GPU, Node(16, 1), 64, count) for count in (5_000, 100_000_000))
    assert (few.rows_per_block, few.rate) == (32, 500.0)
    assert (many.rows_per_block, many.rate) == (256, 4000.0)
    assert many.bottleneck == "Ray's driver"
    assert many.pools.num_render_actors >= 4000 * ON_GPU.cpu_s["turn"]


@pytest.mark.parametrize("count", [5_000, 50_000, 500_000, 5_000_000])
@pytest.mark.parametrize("num_nodes", [1, 8, 64])
def test_a_run_has_blocks_at_least_as_large_as_foreseen(count: int, num_nodes: int) -> None:
    made = predict(ON_GPU, Node(16, 1), num_nodes, count)
    assert rows_per_block(count, made.pools, ON_GPU.shape) >= made.rows_per_block


def test_files_being_written_find_cpus_outside_the_pools() -> None:
    slow = ON_GPU._replace(write_s=1.0, engine_rate=1e6)
    made = predict(slow, Node(16, 1), 8)
    written_at_once = made.rate / made.rows_per_block * slow.write_block_s(made.rows_per_block)
    assert 20 < written_at_once < (8 * 16 - made.pools.total_cpus()) / WRITE_CPUS
    assert predict(slow, Node(16, 1), 1).pools.total_cpus() > 7
