import subprocess
from pathlib import Path

import pytest

import rayboot
from rayboot.diagnostics import machine_checks
from rayboot.diagnostics.check import Check, format_check, last_line, run_in_subprocess


@pytest.mark.egl
def test_egl_renders_here() -> None:
    assert machine_checks.check_egl().status == "ok"


@pytest.mark.egl
def test_a_missing_driver_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    # glvnd then finds no vendor, as on a machine without Mesa.
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json")
    check = machine_checks.check_egl()
    assert check.status == "FAIL"
    assert "apt-get install" in check.remedy


def test_a_missing_gpu_fails_only_if_it_is_required() -> None:
    optional, required = (
        machine_checks.check_gpu(required=False),
        machine_checks.check_gpu(required=True),
    )
    assert "PyTorch" in optional.detail or "required" in optional.detail
    assert optional.status != "FAIL"
    assert (required.status == "ok") == ("none" not in required.detail and not required.remedy)


def test_remedies_are_those_of_the_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = subprocess.CompletedProcess([], 1, "", "ImportError: libtorch.so")
    monkeypatch.setattr(machine_checks, "run_in_subprocess", lambda *_, **__: broken)
    checks = (lambda: machine_checks.check_gpu(required=False), machine_checks.check_compiler)
    assert [check().remedy for check in checks] == ["make env"] * 2
    # A wheel has no Makefile.
    monkeypatch.setattr(rayboot, "__file__", str(tmp_path / "site-packages/rayboot/__init__.py"))
    assert all(check().remedy.startswith("pip install ") for check in checks)


def test_a_missing_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-compiler"))
    check = machine_checks.check_compiler()
    # Triton comes with builds of PyTorch for GPUs only.
    assert check.status == "note"
    assert "compile is true, but" in check.detail and "without compilation" in check.detail
    assert "install" in check.remedy


def test_memory_and_disk_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        machine_checks.check_memory(),
        machine_checks.check_shared_memory(),
        machine_checks.check_disk(tmp_path),
    ]
    assert all("GiB free" in check.detail for check in checks)
    for name in ("_MIN_MEMORY", "_MIN_SHARED_MEMORY", "_MIN_DISK"):
        monkeypatch.setattr(machine_checks, name, 2**60)
    scarce = [
        machine_checks.check_memory(),
        machine_checks.check_shared_memory(),
        machine_checks.check_disk(tmp_path),
    ]
    # Ray works more slowly without shared memory; the others make a run fail.
    assert [check.status for check in scarce] == ["FAIL", "note", "FAIL"]
    assert all(check.remedy for check in scarce)


def test_a_remedy_is_printed_below_its_check() -> None:
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


def test_what_keeps_ray_from_starting_is_reported_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", f"/{'x' * 90}")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    folder, proxy = machine_checks.check_environment(None)
    assert (folder.name, folder.status) == ("RAY_TMPDIR", "FAIL")
    assert (proxy.name, proxy.status) == ("proxy", "note")
    assert "RAY_TMPDIR=/tmp" in folder.remedy and "NO_PROXY=localhost" in proxy.remedy
    assert [check.name for check in machine_checks.check_environment("auto")] == ["proxy"]
