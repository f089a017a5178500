"""Stages that crash, hang and raise, in a process of their own."""

import os
import signal
import time
from functools import partial

import pyarrow as pa
import pytest

from rayboot.errors import FaceRejectedError
from rayboot.pipeline.isolation import SubprocessSpec, SubprocessStage

SCHEMA = pa.schema([("face_id", pa.string()), ("process", pa.int64()), ("reason", pa.string())])


class Poisonable:
    """Adds its process to every row; some photos do it harm."""

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
            elif name == "fault":
                raise FaceRejectedError("pose", "degenerate", "a plane")
            elif name == "odd":
                raise UnportableError(1, 2)
        return make_table(names, [os.getpid()] * len(names), [None] * len(names))


class UnportableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__("needs two to be made again")


def make_table(names: list[str], processes: list[int | None], reasons: list) -> pa.Table:
    return pa.table([names, processes, reasons], schema=SCHEMA)


def reject(photo: pa.Table, reason: str, message: str) -> pa.Table:
    assert message
    return make_table(photo["face_id"].to_pylist(), [None], [reason])


def isolated(greeting: str) -> SubprocessStage:
    isolation = SubprocessSpec.of(partial(Poisonable, greeting), reject, photo_timeout_s=2.0)
    return SubprocessStage(isolation, "read")


@pytest.fixture(scope="module")
def stage() -> SubprocessStage:
    return isolated("hello")


def run(stage: SubprocessStage, *names: str) -> list[dict]:
    return stage(pa.table({"face_id": list(names)})).to_pylist()


def test_batches_are_run_in_one_other_process(stage: SubprocessStage) -> None:
    rows = run(stage, "a", "b") + run(stage, "c")
    assert [row["face_id"] for row in rows] == ["a", "b", "c"]
    assert len({row["process"] for row in rows} - {os.getpid()}) == 1


def test_a_photo_that_crashes_the_process_costs_itself_alone(stage: SubprocessStage) -> None:
    rows = run(stage, "a", "crash", "b", "crash-too", "c")
    assert [row["face_id"] for row in rows] == ["a", "crash", "b", "crash-too", "c"]
    assert [row["reason"] for row in rows] == [None, "crashed", None, "crashed", None]
    assert all(row["process"] for row in run(stage, "d"))


def test_a_photo_that_hangs_the_process_costs_itself_alone(stage: SubprocessStage) -> None:
    rows = run(stage, "hang", "a")
    assert [row["reason"] for row in rows] == ["timed-out", None]


def test_a_process_that_is_lost_once_costs_nothing(stage: SubprocessStage) -> None:
    assert [row["reason"] for row in run(stage, "once", "a")] == [None, None]
    process = run(stage, "b")[0]["process"]
    os.kill(process, signal.SIGKILL)
    assert run(stage, "c")[0]["process"] != process


def test_faults_of_the_program_are_raised_with_their_traceback(stage: SubprocessStage) -> None:
    with pytest.raises(FaceRejectedError, match="a plane"):
        run(stage, "fault")
    with pytest.raises(RuntimeError, match="needs two"):
        run(stage, "odd")
    assert run(stage, "a")[0]["reason"] is None
    with pytest.raises(ValueError, match="expected hello") as caught:
        run(isolated("no"), "a")
    assert "Poisonable" in caught.value.__notes__[0] or "__init__" in caught.value.__notes__[0]


def test_the_process_ends_with_its_stage() -> None:
    stage = isolated("hello")
    process = run(stage, "a")[0]["process"]
    del stage
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_processor_time_of_batches_is_counted() -> None:
    stage = isolated("hello")
    run(stage, "a")
    before = stage.cpu_s()
    run(stage, "b")
    idle = stage.cpu_s() - before
    run(stage, "busy")
    assert 0.2 <= stage.cpu_s() - before - idle < 0.3
    assert idle < 0.05


def test_photos_that_are_lost_are_told_with_their_ids(
    stage: SubprocessStage, caplog: pytest.LogCaptureFixture
) -> None:
    run(stage, "a", "crash")
    together, alone = caplog.records
    assert together.__dict__["face_ids"] == ["a", "crash"]
    assert "2 photos are tried again" in together.getMessage()
    told = {name: alone.__dict__[name] for name in ("face_id", "stage", "reason")}
    assert told == {"face_id": "crash", "stage": "read", "reason": "crashed"}
    assert {record.levelname for record in caplog.records} == {"WARNING"}
