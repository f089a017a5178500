"""A run, block by block: actors that share cores, Ray's driver, writers, start and end.

Rates alone (:mod:`rayboot.pipeline.planning.capacity`) say what holds back a run that never ends. Here
blocks go one by one through the driver and the pools, wait where a pool is full, and leave
actors idle at the end. Nothing is drawn by chance: the same numbers give the same answer.

Actors at work share the cores evenly, so all are slowed alike. A clock that runs as slow as they
do is then enough: on it each piece of work ends at a time that is known when it begins.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["SimulatedRun", "Station", "simulate"]

_QUEUED = 2
"""Blocks an actor that a pool lets wait: Ray Data holds back what would pile up."""

_FEWEST_BLOCKS, _BLOCKS_AN_ACTOR = 1000, 10
"""That are followed one by one; of longer runs the middle is taken to go on as it goes there."""


class Station(NamedTuple):
    """What blocks pass one after the other, several at once.

    Attributes:
        name: of it.
        num_actors: blocks that it works on at once.
        work_s: that each keeps an actor, were there cores for all.
        cores: that an actor takes meanwhile; below 1 it waits for a store or a GPU.
    """

    name: str
    num_actors: int
    work_s: float
    cores: float


class SimulatedRun(NamedTuple):
    """What a run came to.

    Attributes:
        seconds: from the first block's start to the last one's end.
        steady_s: between two blocks' ends, in the middle.
        busy: share of each station's actors at work in the middle, and of the ``cores``.
    """

    seconds: float
    steady_s: float
    busy: dict[str, float]


def simulate(stations: Sequence[Station], num_cores: float, num_blocks: int) -> SimulatedRun:
    """Blocks through stations, the driver among them.

    Args:
        stations: in order.
        num_cores: that their actors share.
        num_blocks: of the run.
    """
    actors = sum(station.num_actors for station in stations)
    followed = min(num_blocks, max(_FEWEST_BLOCKS, _BLOCKS_AN_ACTOR * actors))
    line = _Line(stations, num_cores)
    ends = line.drain(followed)
    # Neither the filling of the line nor its last blocks are the middle.
    first, last = followed // 3, max(followed // 3 + 1, 2 * followed // 3)
    steady_s = float(ends[min(last, followed) - 1] - ends[first - 1]) / max(1, last - first)
    if followed < 3:
        steady_s = float(ends[-1]) / followed
    # Where very many actors end together, a window may catch one end too many.
    steady_s = max(steady_s, _least_s(stations, num_cores))
    seconds = float(ends[-1]) + (num_blocks - followed) * steady_s
    return SimulatedRun(seconds, steady_s, _busy(stations, num_cores, steady_s))


def _least_s(stations: Sequence[Station], num_cores: float) -> float:
    """Between two blocks' ends, if nothing ever waited for anything but its own turn."""
    slowest = max(station.work_s / station.num_actors for station in stations)
    return max(slowest, sum(station.work_s * station.cores for station in stations) / num_cores)


def _busy(stations: Sequence[Station], num_cores: float, steady_s: float) -> dict[str, float]:
    used = sum(station.work_s * station.cores for station in stations) / steady_s
    shares = {station.name: station.work_s / steady_s / station.num_actors for station in stations}
    return {**shares, "cores": used / num_cores}


class _Line:
    """Stations with what waits before each, and the slowed clock."""

    def __init__(self, stations: Sequence[Station], num_cores: float) -> None:
        self._stations, self._num_cores = stations, num_cores
        self._waiting = [0] * len(stations)
        self._free = [station.num_actors for station in stations]
        # Work that is done, but has no room to go on: its actor keeps it.
        self._held = [0] * len(stations)
        self._room = [_QUEUED * station.num_actors for station in stations]
        self._at_work: list[tuple[float, int, int]] = []
        self._cores_wanted, self._slow_s, self._number = 0.0, 0.0, 0

    def drain(self, num_blocks: int) -> np.ndarray:
        """(num_blocks,) seconds at which each block left the last station."""
        ends, now = np.empty(num_blocks), 0.0
        num_ended, self._waiting[0] = 0, num_blocks
        last = len(self._stations) - 1
        for place in range(last, -1, -1):
            self._begin(place)
        while num_ended < num_blocks:
            slow_s, _, place = heapq.heappop(self._at_work)
            # Actors that want more cores than there are take so many times as long.
            slowed = max(1.0, self._cores_wanted / self._num_cores)
            now += (slow_s - self._slow_s) * slowed
            self._slow_s = slow_s
            self._cores_wanted -= self._stations[place].cores
            if place == last:
                ends[num_ended] = now
                num_ended += 1
                self._free[place] += 1
            else:
                self._held[place] += 1
            self._go_on(place)
        return ends

    def _go_on(self, place: int) -> None:
        """Hands on what is held as far as there is room, from this station back to the first."""
        for here in range(place, -1, -1):
            after = here + 1
            while self._held[here] and self._waiting[after] < self._room[after]:
                self._held[here] -= 1
                self._free[here] += 1
                self._waiting[after] += 1
                self._begin(after)
            if not self._begin(here) and here < place:
                break

    def _begin(self, place: int) -> bool:
        """Free actors take what waits; whether any did."""
        station, before = self._stations[place], self._waiting[place]
        while self._waiting[place] and self._free[place]:
            self._waiting[place] -= 1
            self._free[place] -= 1
            self._number += 1
            self._cores_wanted += station.cores
            item = (self._slow_s + station.work_s, self._number, place)
            heapq.heappush(self._at_work, item)
        return self._waiting[place] < before
