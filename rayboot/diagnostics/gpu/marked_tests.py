"""The project's own tests that need a GPU, file by file."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import rayboot
from rayboot.diagnostics.gpu.part import PartSkippedError, Workload

__all__ = ["run_marked_tests"]

_MAX_FILE_S = 60


def run_marked_tests(workload: Workload) -> dict[str, Any]:
    """Runs every test file that has tests for a GPU.

    Raises:
        PartSkippedError: there is no GPU, no checkout, or no pytest.
        AssertionError: a file has failures; the message names the files.
    """
    root = Path(rayboot.__file__).resolve().parents[1]
    workload.require_gpu()
    if not (root / "tests").is_dir():
        raise PartSkippedError("the tests are in a checkout, and rayboot is installed without one")
    if importlib.util.find_spec("pytest") is None:
        raise PartSkippedError("pytest is not installed")
    files = [path for path in sorted(root.glob("tests/**/test_*.py")) if _needs_gpu(path)]
    results = {str(path.relative_to(root / "tests")): _run_file(root, path) for path in files}
    failed = [name for name, result in results.items() if result["exit_status"]]
    if failed:
        tail = results[failed[0]]["output"]
        raise AssertionError(f"{', '.join(failed)}; of the first: {tail}")
    return {
        name: {"s": result["s"], "summary": result["summary"]} for name, result in results.items()
    }


def _needs_gpu(path: Path) -> bool:
    return "pytest.mark.gpu" in path.read_text("utf-8")


def _run_file(root: Path, path: Path) -> dict[str, Any]:
    started = time.monotonic()
    # Without the fixtures of conftest.py, which import what a bare machine may lack.
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "--noconftest", str(path)]
    try:
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=root, capture_output=True, text=True, check=False, timeout=_MAX_FILE_S,
        )  # fmt: skip
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        status, output = 124, f"no end within {_MAX_FILE_S} s"
    lines = [line for line in output.splitlines() if line.strip()]
    return {
        "s": round(time.monotonic() - started, 1),
        "exit_status": status,
        "summary": lines[-1] if lines else "",
        "output": output[-1500:],
    }
