import pytest

from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.planning.capacity import Calibration, Node, forecast
from rayboot.pipeline.planning.limits import Input, count_seconds, find_limits, format_limits
from rayboot.pipeline.planning.scaling import estimate, format_estimates, format_scaling

MEASURED = Calibration(
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
PHOTOS = Input(200_000, packed=True, in_store=True)
NODE = Node(16)


def test_one_node_does_what_its_processors_can() -> None:
    (run,) = estimate(MEASURED, PHOTOS, NODE, [1], PoolConfig())
    most = forecast(MEASURED, 200_000, NODE, 1, PoolConfig())
    assert run.efficiency == 1
    assert run.bottleneck == "processors"
    assert 0.95 * most.rate < run.photos_a_second < most.rate
    assert run.forecast == most


def test_more_nodes_are_faster_and_less_efficient() -> None:
    runs = estimate(MEASURED, PHOTOS, NODE, [1, 4, 16, 64], PoolConfig())
    rates = [run.photos_a_second for run in runs]
    shares = [run.efficiency for run in runs]
    assert rates == sorted(rates)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(rates[-1] / 64 / rates[0])


def test_more_photos_are_done_more_efficiently() -> None:
    shares = [
        estimate(MEASURED, Input(count, True, True), NODE, [64], PoolConfig())[0].efficiency
        for count in (20_000, 200_000, 10_000_000)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.4 < 0.8 < shares[-1]


def test_few_photos_are_mostly_start() -> None:
    (run,) = estimate(MEASURED, Input(32, True, True), NODE, [64], PoolConfig())
    assert run.bottleneck == "the start"


def test_tables_say_what_was_found() -> None:
    runs = estimate(MEASURED, PHOTOS, NODE, [1, 64], PoolConfig())
    lines = format_estimates(MEASURED, NODE, runs).splitlines()
    assert "75% of them became pairs" in lines[0]
    assert lines[-2].split()[2] == "100%"
    assert lines[-1].split()[0] == "64"
    text = format_scaling(MEASURED, PHOTOS, NODE, [1, 64], PoolConfig(), [200_000, 10**7])
    assert "200 k photos" in text
    assert "10 M photos" in text
    assert text.splitlines()[-1].startswith("the first thing that breaks: driver's memory, 16 GiB")


@pytest.mark.parametrize("packed", [True, False])
def test_a_limit_breaks_where_it_is_too_much(packed: bool) -> None:
    photos = Input(10**6, packed, in_store=True)
    limits = {limit.name: limit for limit in find_limits(photos, lambda _: 32, 0.03, False, 16)}
    small, large = (limits[f"driver's memory, {gib} GiB"].breaks_at for gib in (16, 32))
    assert small is not None
    assert large == pytest.approx(2 * small, rel=0.06)
    assert limits["driver's memory, 16 GiB"].at(int(small)) == "14.4 GiB"
    counted = limits["files"].breaks_at
    assert counted is not None
    assert count_seconds(int(counted / 32), False, 0.03, True, 16) == pytest.approx(3600, rel=0.01)
    assert limits["registry"].breaks_at is None
    first = "listing" if not packed and limits["listing"].breaks_at < small else "driver's memory"
    assert f"breaks: {first}" in format_limits(list(limits.values()), 10**6)
