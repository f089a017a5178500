from pathlib import Path

import pytest

from rayboot.diagnostics import machine_checks as machine
from rayboot.diagnostics.check import Check, format_check, last_line, run_in_subprocess


@pytest.mark.egl
def test_egl_renders_here() -> None:
    assert machine.check_egl().status == "ok"


@pytest.mark.egl
def test_a_missing_driver_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    # glvnd then knows no vendor, as on a machine without Mesa.
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json")
    check = machine.check_egl()
    assert check.status == "FAIL"
    assert "apt-get install" in check.remedy


def test_a_gpu_is_missed_only_when_needed() -> None:
    optional, needed = machine.check_gpu(needed=False), machine.check_gpu(needed=True)
    assert "PyTorch" in optional.detail or "needed" in optional.detail
    assert optional.status != "FAIL"
    assert (needed.status == "ok") == ("none" not in needed.detail and not needed.remedy)


def test_room_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [machine.check_memory(), machine.check_shared_memory(), machine.check_disk(tmp_path)]
    assert all("GiB free" in check.detail for check in checks)
    for name in ("_NEEDED_MEMORY", "_NEEDED_SHM", "_NEEDED_DISK"):
        monkeypatch.setattr(machine, name, 2**60)
    short = [machine.check_memory(), machine.check_shared_memory(), machine.check_disk(tmp_path)]
    # Ray works without shared memory, slower; the others end a run half-way.
    assert [check.status for check in short] == ["FAIL", "note", "FAIL"]
    assert all(check.remedy for check in short)


def test_a_remedy_stands_under_its_check() -> None:
    assert format_check(Check("EGL", "ok", "fine"), width=5) == "ok    EGL    fine"
    lines = format_check(Check("EGL", "FAIL", "no driver", "install one"), width=5).splitlines()
    assert lines == ["FAIL  EGL    no driver", "             -> install one"]


def test_a_child_may_crash_or_hang() -> None:
    crashed = run_in_subprocess(
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", timeout_s=20
    )
    assert last_line(crashed) == "ended by signal 11"
    hung = run_in_subprocess("import time; time.sleep(60)", timeout_s=0.5)
    assert (hung.returncode, last_line(hung)) == (124, "no answer in 0 s")
    raised = run_in_subprocess("raise OSError('no such driver')", timeout_s=20)
    assert last_line(raised) == "OSError: no such driver"
