"""Submission to a real Ray head that requires a token."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayboot.data.readers.packed import INDEX_NAME
from tests.ray_head import Head, start_head

CONFIG = "num_identities: 2\nphoto_size: 96\nseed: 4\n"
RAYBOOT = [sys.executable, "-m", "rayboot"]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    folder = tmp_path_factory.mktemp("head")
    # Jobs find the command `rayboot` on PATH, in this environment.
    binaries = str(Path(sys.executable).parent)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{binaries}{os.pathsep}{before}"
    try:
        with start_head(folder, num_cpus=3) as ray_head:
            yield ray_head
    finally:
        os.environ["PATH"] = before


def submit(head: Head, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "faces.yaml").write_text(CONFIG)
    return subprocess.run(
        [*RAYBOOT, "submit", "--address", head.address, *arguments],
        env=head.environment, cwd=tmp_path, capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_a_job_runs_on_the_cluster_and_returns_log_and_status(head: Head, tmp_path: Path) -> None:
    output = tmp_path / "faces"
    done = submit(
        head, tmp_path, "synthesize", "--config", "faces.yaml", "--", "--output", str(output)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(output) in done.stdout
    assert (output / "truth/topology.npz").exists()
    (job,) = set(re.findall(r"rayboot-synthesize-\w+", done.stderr))
    again = submit(head, tmp_path, "--follow", job)
    assert again.returncode == 0 and str(output) in again.stdout


@pytest.mark.slow
def test_a_job_without_a_config_runs_on_the_cluster(
    head: Head, tmp_path: Path, synthetic_set: str
) -> None:
    packed = str(tmp_path / "packed")
    done = submit(head, tmp_path, "pack", "--", "--input", synthetic_set, "--output", packed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert packed in done.stdout
    assert (tmp_path / "packed" / INDEX_NAME).exists()


def test_submit_returns_the_exit_status_of_the_job(head: Head, tmp_path: Path) -> None:
    done = submit(head, tmp_path, "synthesize", "--config", "faces.yaml")
    assert done.returncode == 2
    assert "--output" in done.stdout


def test_an_unknown_job_is_named(head: Head, tmp_path: Path) -> None:
    done = submit(head, tmp_path, "--follow", "rayboot-none")
    assert done.returncode == 2
    assert "has no job rayboot-none" in done.stderr


@pytest.mark.parametrize("answer", ["y", pytest.param("n", marks=pytest.mark.slow)])
def test_an_interruption_asks_whether_to_stop_the_job(
    head: Head, tmp_path: Path, answer: str
) -> None:
    (tmp_path / "faces.yaml").write_text(CONFIG.replace("2\n", "5000\n", 1))
    process = subprocess.Popen(
        [*RAYBOOT, "submit", "synthesize", "--config", "faces.yaml", "--address", head.address,
         "--", "--output", str(tmp_path / "many")],
        env=head.environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    guard = threading.Timer(120, process.kill)
    guard.start()
    deadline = time.monotonic() + 90
    while not (tmp_path / "many").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(f"{answer}\n", timeout=60)
    guard.cancel()
    assert process.returncode == 130, stderr
    assert ("is being stopped" if answer == "y" else "submit --follow") in stderr
