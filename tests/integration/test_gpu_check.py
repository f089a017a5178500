"""The GPU check on the machine of the tests, with all parts."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.diagnostics.gpu.child import PARTS

pytestmark = [pytest.mark.slow, pytest.mark.egl]


def test_this_machine_is_checked_in_its_time(synthetic_set: str, tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    command = ["doctor", "--gpu", "--inputs", synthetic_set, "--out", str(out)]
    started = time.monotonic()
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert time.monotonic() - started < 8 * 60
    parts = json.loads(out.read_text())["parts"]
    assert list(parts) == list(PARTS)
    assert all(part["values"] or part["reason"] for part in parts.values())
