"""The parts of the GPU check run one after the other, and none can end or delay the others."""

import json
import re
import sys
import time
from pathlib import Path

import pytest

from rayboot.diagnostics.gpu.check import (
    LIMITS_S,
    check_gpu_in_parts,
    format_record,
    select_parts,
    write_report,
)
from rayboot.diagnostics.gpu.child import PARTS
from rayboot.diagnostics.gpu.part import PartRecord
from rayboot.errors import RequestError

# Like a part's process: ends in the way that its part is named after.
CHILD = """
import json, os, sys, time
part = sys.argv[1]
if part == "machine":
    print("a library's line", flush=True)
    # A daemon, which keeps the output open.
    os.system("setsid sleep 60 &")
    print(json.dumps({"status": "ok", "reason": "", "values": {"cpus": 2, "cuda": None}}))
elif part == "tests":
    os.kill(os.getpid(), 11)
elif part == "prediction":
    os.system("sleep 60")
elif part == "training":
    sys.exit("no libcuda.so.1")
else:
    print(json.dumps({"status": "FAILED", "reason": "ValueError: bad", "values": {}}))
    print("Traceback", file=sys.stderr)
"""
COMMAND = [sys.executable, "-S", "-c", CHILD]


def test_every_ending_of_a_part_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS_S, "prediction", 1.0)
    started = time.monotonic()
    parts = list(PARTS)[:5]
    records = list(check_gpu_in_parts(parts, Path("faces"), 5.0, COMMAND))
    assert time.monotonic() - started < 30
    assert [record.name for record in records] == parts
    machine, tests, prediction, training, rendering = records
    assert (machine.status, machine.values) == ("ok", {"cpus": 2, "cuda": None})
    assert tests.status == "FAILED" and "signal 11" in tests.reason
    assert prediction.status == "FAILED" and prediction.reason == "no end within 1 s"
    assert training.status == "FAILED" and "no libcuda.so.1" in training.reason
    assert rendering.reason == "ValueError: bad" and rendering.values["stderr"] == "Traceback\n"


def test_parts_without_time_are_skipped() -> None:
    (record,) = check_gpu_in_parts(["machine"], Path("faces"), 0.01, COMMAND)
    assert (record.status, record.reason) == ("skipped", "no time is left of 0.01 minutes")


def test_parts_are_selected_in_their_order() -> None:
    assert select_parts(None) == list(PARTS)
    assert select_parts("training, machine") == ["machine", "training"]
    with pytest.raises(RequestError, match=r"parts traning: expected some of machine, .*training"):
        select_parts("traning")


def test_the_docs_name_the_parts_and_their_limits() -> None:
    page = (Path(__file__).parents[3] / "docs/operations/gpu.md").read_text("utf-8")
    rows = re.findall(r"^\| `([^|]+)` \|[^|]+\| *(\d* ?s?) *\|$", page, re.M)
    named = [name.strip("`") for names, _ in rows for name in names.split(", ")]
    assert named == list(PARTS)
    assert {names: limit for names, limit in rows if limit} == {
        name: f"{limit:.0f} s" for name, limit in LIMITS_S.items()
    }


def test_the_report_holds_all_records_so_far(tmp_path: Path) -> None:
    records = [
        PartRecord("machine", "ok", 1.5, values={"gpus": [], "rates": {"16": 2.5}, "cuda": None}),
        PartRecord("tests", "skipped", 0.0, "PyTorch finds no CUDA GPU"),
    ]
    write_report(tmp_path / "new/check.json", records)
    parts = json.loads((tmp_path / "new/check.json").read_text())["parts"]
    assert parts["machine"]["values"]["rates"] == {"16": 2.5}
    assert parts["tests"]["reason"] == "PyTorch finds no CUDA GPU"
    assert format_record(records[0]).splitlines()[1:] == ["         rates.16: 2.5"]
    assert format_record(records[1]).endswith("PyTorch finds no CUDA GPU")
