import pytest

from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Node, compute_capacity
from rayboot.pipeline.planning.limits import (
    InputSpec,
    compute_limits,
    estimate_counting_s,
    format_limits,
)
from rayboot.pipeline.planning.scaling import estimate, format_estimates, format_scaling

CALIBRATION = Calibration(
    num_photos=200,
    num_faces=150,
    cpu_s={"read": 0.003, "reconstruct": 0.013, "turn": 0.116},
    busy_s={"read": 0.03, "reconstruct": 0.02, "turn": 0.18},
    on_gpu=False,
    start_s=30.0,
    engine_rate=1000.0,
    write_s=0.1,
    write_cpu_s=0.02,
    count_s=0.03,
    shape=(96, 96, 96),
)
PHOTOS = InputSpec(200_000, packed=True, in_object_store=True)
NODE = Node(16)


def test_one_node_nearly_reaches_its_capacity() -> None:
    (run,) = estimate(CALIBRATION, PHOTOS, NODE, [1], PoolConfig())
    capacity = compute_capacity(CALIBRATION, 200_000, NODE, 1, PoolConfig())
    assert run.efficiency == 1
    assert run.bottleneck == "processors"
    assert 0.95 * capacity.photos_per_s < run.photos_per_s < capacity.photos_per_s
    assert run.capacity == capacity


def test_more_nodes_are_faster_and_less_efficient() -> None:
    runs = estimate(CALIBRATION, PHOTOS, NODE, [1, 4, 16, 64], PoolConfig())
    rates = [run.photos_per_s for run in runs]
    efficiencies = [run.efficiency for run in runs]
    assert rates == sorted(rates)
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[-1] == pytest.approx(rates[-1] / 64 / rates[0])


def test_more_photos_are_done_more_efficiently() -> None:
    efficiencies = [
        estimate(CALIBRATION, InputSpec(count, True, True), NODE, [64], PoolConfig())[0].efficiency
        for count in (20_000, 200_000, 10_000_000)
    ]
    assert efficiencies == sorted(efficiencies)
    assert efficiencies[0] < 0.4 < 0.8 < efficiencies[-1]


def test_a_run_of_few_photos_is_mostly_start() -> None:
    (run,) = estimate(CALIBRATION, InputSpec(32, True, True), NODE, [64], PoolConfig())
    assert run.bottleneck == "the start"


def test_tables_show_calibration_estimates_and_limits() -> None:
    runs = estimate(CALIBRATION, PHOTOS, NODE, [1, 64], PoolConfig())
    lines = format_estimates(CALIBRATION, NODE, runs).splitlines()
    assert "75% of them became pairs" in lines[0]
    assert lines[-2].split()[2] == "100%"
    assert lines[-1].split()[0] == "64"
    text = format_scaling(CALIBRATION, PHOTOS, NODE, [1, 64], PoolConfig(), [200_000, 10**7])
    assert "200 k photos" in text
    assert "10 M photos" in text
    assert text.splitlines()[-1].startswith("first limit reached: driver's memory, 16 GiB")


@pytest.mark.parametrize("packed", [True, False])
def test_a_limit_is_where_its_threshold_is_reached(packed: bool) -> None:
    photos = InputSpec(10**6, packed, in_object_store=True)
    limits = {limit.name: limit for limit in compute_limits(photos, lambda _: 32, 0.03, False, 16)}
    small, large = (limits[f"driver's memory, {gib} GiB"].max_photos for gib in (16, 32))
    assert small is not None
    assert large == pytest.approx(2 * small, rel=0.06)
    assert limits["driver's memory, 16 GiB"].describe(int(small)) == "14.4 GiB"
    counted = limits["files"].max_photos
    assert counted is not None
    assert estimate_counting_s(int(counted / 32), False, 0.03, True, 16) == pytest.approx(
        3600, rel=0.01
    )
    assert limits["registry"].max_photos is None
    first = "listing" if not packed and limits["listing"].max_photos < small else "driver's memory"
    assert f"reached: {first}" in format_limits(list(limits.values()), 10**6)
