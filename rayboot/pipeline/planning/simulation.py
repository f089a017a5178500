"""Simulation of a run, block by block: actors that share cores, Ray's driver, and writers.

Rates alone (:mod:`rayboot.pipeline.planning.capacity`) give the bottleneck of a run that never
ends. Here each block passes the driver and the pools, waits where a queue is full, and leaves
actors idle at the end of the run. The simulation is deterministic.

Busy actors share the cores evenly, so all are slowed by the same factor. It is therefore enough
to keep a virtual clock that is slowed with them: in virtual time each piece of work takes a
fixed time, and its end is known when it begins.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["SimulatedRun", "Station", "simulate"]

_QUEUED_BLOCKS_PER_ACTOR = 2
"""Blocks that may wait in the queue of a pool for each of its actors; Ray Data's backpressure
holds back the others."""

_MIN_SIMULATED_BLOCKS, _SIMULATED_BLOCKS_PER_ACTOR = 1000, 10
"""Number of blocks that are simulated one by one; a longer run is extrapolated from the steady
state in the middle of these."""


class Station(NamedTuple):
    """A pool of actors that every block passes.

    Attributes:
        name: name of the station.
        num_actors: number of blocks that it processes at the same time.
        work_s: time that a block occupies an actor if there is a core for every actor.
        cores: cores that an actor uses meanwhile; below 1 it waits for a store or a GPU.
    """

    name: str
    num_actors: int
    work_s: float
    cores: float


class SimulatedRun(NamedTuple):
    """Result of a simulation.

    Attributes:
        seconds: time from the start of the first block to the end of the last one.
        steady_interval_s: time between the ends of two blocks in the steady state.
        utilization: fraction of each station's actors that is busy in the steady state, and of
            the ``cores``.
    """

    seconds: float
    steady_interval_s: float
    utilization: dict[str, float]


def simulate(stations: Sequence[Station], num_cores: float, num_blocks: int) -> SimulatedRun:
    """Simulates blocks that pass stations, Ray's driver among them.

    Args:
        stations: stations in the order in which blocks pass them.
        num_cores: number of cores that the actors of all stations share.
        num_blocks: number of blocks of the run.
    """
    num_actors = sum(station.num_actors for station in stations)
    num_simulated = min(
        num_blocks, max(_MIN_SIMULATED_BLOCKS, _SIMULATED_BLOCKS_PER_ACTOR * num_actors)
    )
    ends = _Pipeline(stations, num_cores).run(num_simulated)
    # The steady state is measured in the middle third: while the stations fill, and while the
    # last blocks leave, the intervals differ.
    first, last = num_simulated // 3, max(num_simulated // 3 + 1, 2 * num_simulated // 3)
    interval_s = float(ends[min(last, num_simulated) - 1] - ends[first - 1]) / max(1, last - first)
    if num_simulated < 3:
        interval_s = float(ends[-1]) / num_simulated
    # Where very many actors end at the same time, the window may contain one end too many.
    interval_s = max(interval_s, _min_interval_s(stations, num_cores))
    seconds = float(ends[-1]) + (num_blocks - num_simulated) * interval_s
    return SimulatedRun(seconds, interval_s, _utilization(stations, num_cores, interval_s))


def _min_interval_s(stations: Sequence[Station], num_cores: float) -> float:
    """Returns the time between the ends of two blocks if no block ever had to wait in a queue."""
    slowest = max(station.work_s / station.num_actors for station in stations)
    return max(slowest, sum(station.work_s * station.cores for station in stations) / num_cores)


def _utilization(
    stations: Sequence[Station], num_cores: float, interval_s: float
) -> dict[str, float]:
    busy_cores = sum(station.work_s * station.cores for station in stations) / interval_s
    actors = {
        station.name: station.work_s / interval_s / station.num_actors for station in stations
    }
    return {**actors, "cores": busy_cores / num_cores}


class _Pipeline:
    """Stations with their queues, and the virtual clock."""

    def __init__(self, stations: Sequence[Station], num_cores: float) -> None:
        self._stations, self._num_cores = stations, num_cores
        self._num_queued = [0] * len(stations)
        self._num_free = [station.num_actors for station in stations]
        # Blocks that are done while the next queue is full: they still occupy their actors.
        self._num_blocked = [0] * len(stations)
        self._max_queued = [_QUEUED_BLOCKS_PER_ACTOR * station.num_actors for station in stations]
        # Heap of (virtual end time, serial number, station index).
        self._busy: list[tuple[float, int, int]] = []
        self._requested_cores, self._virtual_s, self._num_started = 0.0, 0.0, 0

    def run(self, num_blocks: int) -> np.ndarray:
        """Returns (num_blocks,) seconds at which each block left the last station."""
        ends, now = np.empty(num_blocks), 0.0
        num_ended, self._num_queued[0] = 0, num_blocks
        last = len(self._stations) - 1
        for index in range(last, -1, -1):
            self._start_queued(index)
        while num_ended < num_blocks:
            virtual_s, _, index = heapq.heappop(self._busy)
            # Actors that request more cores than there are take longer by this factor.
            slowdown = max(1.0, self._requested_cores / self._num_cores)
            now += (virtual_s - self._virtual_s) * slowdown
            self._virtual_s = virtual_s
            self._requested_cores -= self._stations[index].cores
            if index == last:
                ends[num_ended] = now
                num_ended += 1
                self._num_free[index] += 1
            else:
                self._num_blocked[index] += 1
            self._advance(index)
        return ends

    def _advance(self, index: int) -> None:
        """Moves blocks into queues that have space, from this station back to the first."""
        for current in range(index, -1, -1):
            following = current + 1
            while (
                self._num_blocked[current]
                and self._num_queued[following] < self._max_queued[following]
            ):
                self._num_blocked[current] -= 1
                self._num_free[current] += 1
                self._num_queued[following] += 1
                self._start_queued(following)
            if not self._start_queued(current) and current < index:
                break

    def _start_queued(self, index: int) -> bool:
        """Starts queued blocks on free actors; returns whether any was started."""
        station, num_queued_before = self._stations[index], self._num_queued[index]
        while self._num_queued[index] and self._num_free[index]:
            self._num_queued[index] -= 1
            self._num_free[index] -= 1
            self._num_started += 1
            self._requested_cores += station.cores
            item = (self._virtual_s + station.work_s, self._num_started, index)
            heapq.heappush(self._busy, item)
        return self._num_queued[index] < num_queued_before
