import time

import pytest

from rayboot.pipeline.planning.simulation import Station, simulate

DRIVER = Station("driver", 1, 0.01, 0.0)


@pytest.mark.parametrize("num_blocks", [1, 2, 7, 500, 5000, 10**6])
def test_one_station_processes_its_blocks_one_by_one(num_blocks: int) -> None:
    run = simulate([Station("turn", 1, 2.0, 1.0)], 4, num_blocks)
    assert run.seconds == pytest.approx(2.0 * num_blocks)
    assert run.steady_interval_s == pytest.approx(2.0)
    assert run.utilization == pytest.approx({"turn": 1.0, "cores": 0.25})


def test_the_slowest_station_sets_the_pace() -> None:
    stations = [DRIVER, Station("read", 2, 1.0, 0.1), Station("turn", 4, 3.0, 1.0)]
    run = simulate(stations, 100, 400)
    # The first block ends after all stations, the others at the pace of four renderers.
    assert run.seconds == pytest.approx(0.01 + 1.0 + 400 * 3.0 / 4, rel=0.01)
    assert run.utilization["turn"] == pytest.approx(1.0, rel=0.02)
    assert run.utilization["read"] == pytest.approx(2 / 3, rel=0.02)


@pytest.mark.parametrize("cores", [1, 2, 8, 64])
def test_actors_share_the_cores(cores: int) -> None:
    stations = [Station("network", cores, 1.0, 1.0), Station("turn", 3 * cores, 3.0, 1.0)]
    run = simulate(stations, cores, 50_000)
    assert run.steady_interval_s == pytest.approx(4.0 / cores, rel=0.03)
    assert run.utilization["cores"] <= 1 + 1e-9


def test_actors_that_wait_leave_the_cores_to_others() -> None:
    stations = [Station("read", 8, 8.0, 0.25), Station("turn", 2, 2.0, 1.0)]
    # A block takes four seconds of the two cores, and of the readers only one each.
    assert simulate(stations, 2, 4000).steady_interval_s == pytest.approx(2.0, rel=0.02)


def test_the_driver_processes_blocks_one_by_one() -> None:
    stations = [DRIVER, Station("turn", 1000, 1.0, 1.0)]
    run = simulate(stations, 1000, 20_000)
    assert run.seconds == pytest.approx(20_000 * 0.01 + 1.0, rel=0.01)
    assert run.utilization["driver"] == pytest.approx(1.0, rel=0.01)


def test_the_last_blocks_leave_actors_idle() -> None:
    # 101 blocks on 100 renderers: two rounds, the second for one block.
    run = simulate([Station("turn", 100, 5.0, 1.0)], 100, 101)
    assert run.seconds == pytest.approx(10.0)


def test_a_long_run_is_extrapolated_from_its_middle() -> None:
    stations = [DRIVER, Station("read", 3, 0.2, 0.3), Station("turn", 7, 0.9, 1.0)]
    short, long = (simulate(stations, 6, count).seconds for count in (1000, 3000))
    assert simulate(stations, 6, 2000).seconds == pytest.approx((short + long) / 2, rel=0.002)


def test_a_hundred_million_photos_take_no_longer_to_simulate() -> None:
    stations = [
        DRIVER,
        Station("read", 100, 1.0, 0.2),
        Station("reconstruct", 64, 0.3, 0.5),
        Station("turn", 900, 4.0, 1.0),
        Station("write", 60, 0.2, 0.1),
    ]
    started = time.process_time()
    runs = [simulate(stations, 1024, 390_625) for _ in range(2)]
    assert time.process_time() - started < 20
    assert runs[0] == runs[1]
    assert runs[0].seconds == pytest.approx(390_625 * 0.01, rel=0.01)
