"""Stages that crash, hang and raise, in a subprocess."""

import os
import signal
import time
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from rayboot.errors import FaceRejectedError
from rayboot.pipeline.isolation import SubprocessSpec, SubprocessStage

SCHEMA = pa.schema([("face_id", pa.string()), ("process", pa.int64()), ("reason", pa.string())])


class FragileStage:
    """Adds its process id to every row; some photos crash, hang or raise."""

    def __init__(self, greeting: str) -> None:
        if greeting != "hello":
            raise ValueError(f"expected hello, got {greeting}")

    def __call__(self, table: pa.Table) -> pa.Table:
        names = table["face_id"].to_pylist()
        for name in names:
            if name.startswith("crash"):
                os.kill(os.getpid(), signal.SIGSEGV)
            elif name.startswith("hang"):
                time.sleep(600)
            elif name.startswith("once") and len(names) > 1:
                os._exit(3)
            elif name.startswith("busy"):
                end = time.process_time() + 0.2
                while time.process_time() < end:
                    pass
            elif name == "raise":
                raise FaceRejectedError("pose", "degenerate", "a plane")
            elif name == "unpicklable":
                raise UnpicklableError(1, 2)
        return make_table(names, [os.getpid()] * len(names), [None] * len(names))


class UnpicklableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__("expects two arguments when it is unpickled")


def make_table(
    names: list[str], processes: list[int | None], reasons: list[str | None]
) -> pa.Table:
    return pa.table([names, processes, reasons], schema=SCHEMA)


def reject(photo: pa.Table, reason: str, message: str) -> pa.Table:
    assert message
    return make_table(photo["face_id"].to_pylist(), [None], [reason])


def make_stage(greeting: str, photo_timeout_s: float = 60.0) -> SubprocessStage:
    spec = SubprocessSpec.create(partial(FragileStage, greeting), reject, photo_timeout_s)
    return SubprocessStage(spec, "read")


@pytest.fixture(scope="module")
def stage() -> SubprocessStage:
    return make_stage("hello")


def run(stage: SubprocessStage, *names: str) -> list[dict[str, Any]]:
    return stage(pa.table({"face_id": list(names)})).to_pylist()


def test_batches_run_in_one_subprocess(stage: SubprocessStage) -> None:
    rows = run(stage, "a", "b") + run(stage, "c")
    assert [row["face_id"] for row in rows] == ["a", "b", "c"]
    assert len({row["process"] for row in rows} - {os.getpid()}) == 1


def test_a_photo_that_crashes_the_process_costs_no_other_photo(stage: SubprocessStage) -> None:
    rows = run(stage, "a", "crash", "b", "crash-too", "c")
    assert [row["face_id"] for row in rows] == ["a", "crash", "b", "crash-too", "c"]
    assert [row["reason"] for row in rows] == [None, "crashed", None, "crashed", None]
    assert all(row["process"] for row in run(stage, "d"))


def test_a_photo_that_hangs_the_process_costs_no_other_photo() -> None:
    rows = run(make_stage("hello", photo_timeout_s=3.0), "hang", "a")
    assert [row["reason"] for row in rows] == ["timed-out", None]


def test_a_process_that_is_lost_once_costs_no_photo(stage: SubprocessStage) -> None:
    assert [row["reason"] for row in run(stage, "once", "a")] == [None, None]
    process = run(stage, "b")[0]["process"]
    os.kill(process, signal.SIGKILL)
    assert run(stage, "c")[0]["process"] != process


def test_errors_of_the_stage_are_raised_with_their_traceback(stage: SubprocessStage) -> None:
    with pytest.raises(FaceRejectedError, match="a plane"):
        run(stage, "raise")
    with pytest.raises(RuntimeError, match="expects two arguments"):
        run(stage, "unpicklable")
    assert run(stage, "a")[0]["reason"] is None
    with pytest.raises(ValueError, match="expected hello") as caught:
        run(make_stage("no"), "a")
    assert "FragileStage" in caught.value.__notes__[0] or "__init__" in caught.value.__notes__[0]


def test_the_process_ends_with_its_stage() -> None:
    stage = make_stage("hello")
    process = run(stage, "a")[0]["process"]
    del stage
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_processor_time_of_batches_is_counted() -> None:
    stage = make_stage("hello")
    run(stage, "a")
    before = stage.cpu_s()
    run(stage, "b")
    idle = stage.cpu_s() - before
    run(stage, "busy")
    assert 0.2 <= stage.cpu_s() - before - idle < 0.3
    assert idle < 0.05


def test_lost_photos_are_logged_with_their_ids(
    stage: SubprocessStage, caplog: pytest.LogCaptureFixture
) -> None:
    run(stage, "a", "crash")
    together, alone = caplog.records
    assert together.__dict__["face_ids"] == ["a", "crash"]
    assert "2 photos are retried" in together.getMessage()
    fields = {name: alone.__dict__[name] for name in ("face_id", "stage", "reason")}
    assert fields == {"face_id": "crash", "stage": "read", "reason": "crashed"}
    assert {record.levelname for record in caplog.records} == {"WARNING"}
