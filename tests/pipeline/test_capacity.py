import math

import pytest

from rayboot.pipeline.capacity import (
    Forecast,
    Measured,
    Node,
    forecast,
    format_forecasts,
    suggest_pools,
)
from rayboot.pipeline.config import PoolConfig

ON_CPU = Measured(
    num_photos=200,
    num_faces=150,
    cpu_s={"read": 0.01, "reconstruct": 0.30, "turn": 0.09},
    busy_s={"read": 0.05, "reconstruct": 0.32, "turn": 0.10},
    on_gpu=False,
    start_s=30.0,
    engine_rate=500.0,
)
ON_GPU = ON_CPU._replace(
    cpu_s={"read": 0.01, "reconstruct": 0.001, "turn": 0.039},
    busy_s={"read": 0.05, "reconstruct": 0.001, "turn": 0.05},
    on_gpu=True,
)


def predict(measured: Measured, node: Node, num_nodes: int, count: int = 200_000) -> Forecast:
    return forecast(measured, count, node, num_nodes, PoolConfig(reconstruct_gpus=measured.on_gpu))


def total(pools: PoolConfig, kind: str) -> float:
    return math.fsum(actor.get(kind, 0.0) for actor in pools.bundles())


def test_processors_hold_back_a_machine_without_a_gpu() -> None:
    made = predict(ON_CPU, Node(2), 1)
    assert (made.held_back_by, made.rate) == ("processors", pytest.approx(2 / 0.4))
    assert made.hours == pytest.approx((200_000 / 5 + 30) / 3600)
    assert predict(ON_CPU, Node(2), 8).rate == pytest.approx(8 * made.rate)


def test_what_holds_back_moves_with_the_nodes() -> None:
    # 16 cores render 320 a second, the GPU would take 1000, the driver 500.
    assert predict(ON_GPU, Node(16, 1), 1).held_back_by == "processors"
    assert predict(ON_GPU, Node(96, 1), 1).held_back_by == "Ray's driver"
    assert predict(ON_GPU._replace(engine_rate=1e6), Node(96, 1), 1).held_back_by == "GPUs"
    far = predict(ON_GPU, Node(16, 1), 64)
    assert (far.rate, far.held_back_by) == (500.0, "Ray's driver")
    assert far.node_hours == pytest.approx(64 * far.hours)
    assert predict(ON_GPU, Node(16, 1), 64, count=5000).held_back_by == "the start"


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
    measured: Measured, node: Node, num_nodes: int
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


def test_forecasts_are_a_table() -> None:
    rows = [predict(ON_GPU, Node(16, 1), count) for count in (1, 64)]
    lines = format_forecasts(ON_GPU, Node(16, 1), rows).splitlines()
    assert "75% of them became pairs" in lines[0]
    assert lines[-2].split()[:2] == ["1", "320.0"]
    assert "Ray's driver" in lines[-1]
