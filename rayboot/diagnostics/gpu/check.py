"""The GPU check: all parts one after the other, each in a process of its own with a time limit."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rayboot.diagnostics.gpu.child import PARTS
from rayboot.diagnostics.gpu.part import PartRecord
from rayboot.errors import RequestError

__all__ = ["LIMITS_S", "check_gpu_in_parts", "format_record", "select_parts", "write_report"]

LIMITS_S = {
    "machine": 45.0,
    "tests": 90.0,
    "prediction": 60.0,
    "training": 75.0,
    "rendering": 75.0,
    "generation": 120.0,
    "evaluation": 45.0,
}
"""Time limit of each part. The compiled parts, which come last, have all the time left."""

_MIN_PART_S = 5.0
"""A part is skipped if less time is left: no process of PyTorch starts faster."""

_KILL_S = 5.0
"""Time in which a killed process should be gone."""

_CHILD = [sys.executable, "-m", "rayboot.diagnostics.gpu.child"]


def select_parts(names: str | None) -> list[str]:
    """Returns the parts of a comma-separated list in their fixed order; all of them for None.

    Raises:
        RequestError: there is no such part.
    """
    if names is None:
        return list(PARTS)
    asked = {name.strip() for name in names.split(",")}
    if unknown := asked - set(PARTS):
        raise RequestError(
            f"parts {', '.join(sorted(unknown))}: expected some of {', '.join(PARTS)}"
        )
    return [name for name in PARTS if name in asked]


def check_gpu_in_parts(
    parts: Sequence[str], inputs: Path, minutes: float, command: Sequence[str] = _CHILD
) -> Iterator[PartRecord]:
    """Runs parts and yields the record of each when it ends.

    Args:
        parts: names of parts, in order.
        inputs: folder of synthetic faces.
        minutes: time of all parts together; parts for which none is left are skipped.
        command: command of a part's process, to which the part and ``inputs`` are appended.
    """
    deadline = time.monotonic() + 60 * minutes
    for name in parts:
        left_s = deadline - time.monotonic()
        if left_s < _MIN_PART_S:
            yield PartRecord(name, "skipped", 0.0, f"no time is left of {minutes:g} minutes")
            continue
        limit_s = min(left_s, LIMITS_S.get(name, left_s))
        started = time.monotonic()
        outcome = _run_child([*command, name, str(inputs)], limit_s)
        yield PartRecord(name, seconds=round(time.monotonic() - started, 1), **outcome)


def _run_child(command: Sequence[str], limit_s: float) -> dict[str, Any]:
    """Returns the JSON object on the last line of the child's output, or how the child ended."""
    # Files instead of pipes: a daemon that the child started would hold a pipe open for ever.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        # A session of its own, so that its own children end with it.
        child = subprocess.Popen(command, stdout=stdout, stderr=stderr, start_new_session=True)
        try:
            child.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            # A process that is stuck in a driver does not end; it must not stop the other parts.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_KILL_S)
            return {"status": "FAILED", "reason": f"no end within {limit_s:.0f} s"}
        stdout.seek(0)
        stderr.seek(0)
        output, errors = stdout.read(), stderr.read()
    try:
        outcome: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        ending = f"signal {-child.returncode}" if child.returncode < 0 else "no result"
        lines = errors.strip().splitlines() or [f"exit status {child.returncode}"]
        return {"status": "FAILED", "reason": f"{ending}: {lines[-1][:300]}"}
    if outcome["status"] == "FAILED":
        outcome["values"] = {"stderr": errors[-2000:]}
    return outcome


def write_report(path: Path, records: Sequence[PartRecord]) -> None:
    """Writes the records so far; it is called after each part, so none is lost with a machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"parts": {record.name: record.to_json() for record in records}}
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def format_record(record: PartRecord) -> str:
    """Returns the record as lines: outcome, then one line per measured value."""
    first = f"{record.status:<7}  {record.name:<20}  {record.seconds:6.1f} s"
    if record.reason:
        return f"{first}  {record.reason}"
    return "\n".join([first, *(f"{'':9}{line}" for line in _flatten(record.values))])


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value not in (None, "", [], {}):
            yield f"{prefix}{name}: {value}"
