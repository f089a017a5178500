"""Statistics and log lines that stages report for their batches."""

import logging
from typing import Any

import pyarrow as pa
import pytest
import ray

from rayboot.cluster.progress_bar import Progress
from rayboot.pipeline.actor import StageActor, StageStats, read_progress, read_snapshot
from rayboot.pipeline.stage_usage import StageUsage


class RejectOdd:
    """A stage: rows with odd numbers become rejects."""

    def __call__(self, table: pa.Table) -> pa.Table:
        odd = [number % 2 == 1 for number in table["number"].to_pylist()]
        table = table.append_column("stage", pa.array(["sort" if o else None for o in odd]))
        return table.append_column("reason", pa.array(["odd" if o else None for o in odd]))


def sort_batches(stats: Any) -> None:
    stage = StageActor("sort", RejectOdd, stats)
    for first in (0, 3):
        stage(pa.table({"number": [first, first + 1, first + 2]}))


def test_progress_is_what_stages_have_reported(ray_local: object) -> None:
    stats: Any = ray.remote(num_cpus=0)(StageStats).remote()
    assert read_progress(stats, "sort") is None
    sort_batches(stats)
    assert read_progress(stats, "sort") == Progress(6, None, "3 rejected (3 sort, odd)")
    assert read_progress(stats, "later") is None
    snapshot = read_snapshot(stats)
    usage = snapshot.usage["sort"]
    assert (usage.rows, usage.num_bytes > 0, usage.busy_s > 0) == (6, True, True)
    assert snapshot.rejects == {"sort, odd": 3}
    assert snapshot.steady["sort"].rows == 3
    assert snapshot.steady["sort"].busy_s < usage.busy_s
    ray.kill(stats)


def test_lasting_usage_is_without_first_batches_where_there_are_others() -> None:
    stats = StageStats()
    compiling, fast = StageUsage(4, 60.0, 30.0, 8), StageUsage(4, 0.5, 0.4, 8)
    # Two actors of one stage, and a stage that was called once.
    for usage, is_first in ((compiling, True), (fast, False), (compiling, True), (fast, False)):
        stats.record_batch("reconstruct", usage, {}, is_first)
    stats.record_batch("turn", compiling, {}, True)
    snapshot = stats.snapshot()
    assert snapshot.usage["reconstruct"].rows == 16
    lasting = snapshot.lasting_usage()
    assert lasting == {"reconstruct": StageUsage(8, 1.0, 0.8, 16), "turn": compiling}


class Fail:
    """A stage that raises."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise ZeroDivisionError("division by zero")


def test_an_error_is_logged_with_the_photos_of_its_batch(
    ray_local: object, caplog: pytest.LogCaptureFixture
) -> None:
    stage = StageActor("fail", Fail, None)
    with pytest.raises(ZeroDivisionError):
        stage(pa.table({"face_id": ["a", "b"]}))
    (record,) = caplog.records
    assert (record.levelname, record.exc_info is not None) == ("ERROR", True)
    assert record.__dict__["face_ids"] == ["a", "b"]


def test_rejects_are_logged_at_debug_only(
    ray_local: object, caplog: pytest.LogCaptureFixture
) -> None:
    stats: Any = ray.remote(num_cpus=0)(StageStats).remote()
    stage = StageActor("sort", RejectOdd, stats)
    table = pa.table({"number": [0, 1], "face_id": ["a", "b"]})
    stage(table)
    assert not caplog.records
    with caplog.at_level(logging.DEBUG, "rayboot"):
        stage(table)
    (record,) = caplog.records
    fields = {name: record.__dict__[name] for name in ("face_id", "stage", "reason")}
    assert fields == {"face_id": "b", "stage": "sort", "reason": "odd"}
    ray.kill(stats)
