"""The runner, driven without Ray and without real time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from rayboot.errors import BusyError, RaybootError
from rayboot.pipeline.graph import StageSpec
from rayboot.pipeline.runner import Job, run_job
from rayboot.pipeline.stage_usage import StageUsage

T = TypeVar("T")


class CountingJob(Job[int]):
    """A job whose rows are a number; it records the order of the runner's calls."""

    name = "count"
    output = "memory"
    run_id = "run"
    rows_per_block = 4
    reader_cpus = 0.1

    def __init__(self, num_photos: int, num_finished: int = 0, complete: bool = False) -> None:
        self.num_photos, self.num_finished, self._is_complete = num_photos, num_finished, complete
        self.calls: list[str] = []

    def stages(self) -> Sequence[StageSpec]:
        return ()

    def recover(self) -> None:
        self.calls.append("recover")

    def is_complete(self) -> bool:
        return self._is_complete

    def count_finished(self) -> int:
        return self.num_finished

    def complete(self) -> None:
        self.calls.append("complete")
        if self.num_finished != self.num_photos:
            raise RaybootError(f"{self.num_finished} of {self.num_photos}")

    def summarize(self) -> int:
        self.calls.append("summarize")
        return self.num_finished


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class FakeExecutor:
    """Finishes photos, ``lost`` of them without a row, in ten seconds each."""

    def __init__(self, clock: FakeClock, lost: int = 0, error: Exception | None = None) -> None:
        self._clock, self._lost, self._error = clock, lost, error
        self.num_left: list[int] = []

    def execute(self, job: Job[Any], num_left: int) -> Mapping[str, StageUsage]:
        self.num_left.append(num_left)
        if self._error is not None:
            raise self._error
        self._clock.now += 10.0 * num_left
        job.num_finished += num_left - self._lost  # type: ignore[attr-defined]
        return {"only": StageUsage(num_left, 1.0, 1.0, 0)}


class FakeStore:
    """A store whose lease may be held by another run."""

    def __init__(self, busy: bool = False) -> None:
        self._busy = busy
        self.held: list[str] = []
        self.num_retried = 0

    @contextmanager
    def lease(self, uri: str) -> Iterator[None]:
        if self._busy:
            raise BusyError(f"{uri} is held")
        self.held.append(uri)
        try:
            yield
        finally:
            self.held.append("released")

    def retry(self, call: Callable[[], T], uri: str) -> T:
        self.num_retried += 1
        return call()


def test_what_is_left_is_executed_and_timed() -> None:
    clock, store = FakeClock(), FakeStore()
    job, executor = CountingJob(num_photos=7, num_finished=3), FakeExecutor(clock)
    summary, stats = run_job(job, executor, store, clock)
    assert (summary, executor.num_left) == (7, [4])
    assert job.calls == ["recover", "complete", "summarize"]
    assert stats.seconds == 40.0
    assert stats.usage["only"].rows == 4
    assert store.held == ["memory/_run/lock.json", "released"]
    # Every access to the output: complete already, count, complete, summarize.
    assert store.num_retried == 4


def test_a_complete_output_is_only_summarized() -> None:
    clock = FakeClock()
    job, executor = CountingJob(5, 5, complete=True), FakeExecutor(clock)
    summary, stats = run_job(job, executor, FakeStore(), clock)
    assert (summary, executor.num_left, stats.usage, stats.seconds) == (5, [], {}, 0.0)
    assert job.calls == ["recover", "summarize"]


def test_nothing_is_executed_where_every_photo_has_its_row() -> None:
    clock = FakeClock()
    job, executor = CountingJob(5, 5), FakeExecutor(clock)
    run_job(job, executor, FakeStore(), clock)
    assert executor.num_left == []
    assert job.calls == ["recover", "complete", "summarize"]


def test_lost_rows_are_an_error() -> None:
    clock = FakeClock()
    with pytest.raises(RaybootError, match="6 of 7"):
        run_job(CountingJob(7), FakeExecutor(clock, lost=1), FakeStore(), clock)


def test_a_busy_output_is_left_alone() -> None:
    clock = FakeClock()
    job, executor = CountingJob(7), FakeExecutor(clock)
    with pytest.raises(BusyError, match="is held"):
        run_job(job, executor, FakeStore(busy=True), clock)
    assert job.calls == executor.num_left == []


def test_a_failed_executor_leaves_the_output_incomplete() -> None:
    clock = FakeClock()
    job, store = CountingJob(7), FakeStore()
    with pytest.raises(RaybootError, match="lost a node"):
        run_job(job, FakeExecutor(clock, error=RaybootError("lost a node")), store, clock)
    assert "complete" not in job.calls
    assert store.held[-1] == "released"
