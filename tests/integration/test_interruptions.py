"""Runs killed at any point end with exactly the rows of an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from rayboot.data.manifest import read_manifest
from rayboot.synthesis import SynthesisConfig, synthesize

pytestmark = [pytest.mark.egl, pytest.mark.slow]

NUM_PHOTOS = 48
RAYBOOT = [sys.executable, "-c", "from rayboot.cli import main; main()"]
SETTINGS = {
    "selection": {"detect_faces": False},
    "views": {"preset": "small"},
    "pools": {"batch_size": 4, "num_readers": 1},
}


class Run:
    """``rayboot generate`` in a session of its own, Ray included."""

    def __init__(self, folder: Path, photos: str, **environment: str) -> None:
        self.output = folder / "pairs"
        config = folder / "generate.yaml"
        folder.mkdir(exist_ok=True)
        config.write_text(json.dumps(SETTINGS))
        command = [*RAYBOOT, "generate", "--config", str(config)]
        command += ["--input", photos, "--output", str(self.output)]
        self.process = subprocess.Popen(
            command, start_new_session=True, env={**os.environ, **environment}
        )

    def finish(self) -> None:
        assert self.process.wait(timeout=400) == 0
        assert read_manifest(str(self.output)) is not None

    def num_files(self) -> int:
        """Written so far, of faces and rejects."""
        return len(list(self.output.glob("outcome=*/*.parquet")))

    def wait_for(self, num_files: int, seconds: float) -> bool:
        """Whether so many files came before the end of the run."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.num_files() >= num_files:
                return True
            time.sleep(0.05)
        return False

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def workers(self, title: str) -> list[int]:
        """Processes of the session whose title has this in it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                session = os.getsid(int(folder.name))
            except (OSError, ProcessLookupError):
                continue
            if title in words and session == self.process.pid:
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("interruptions") / "photos")
    yaw = {"kind": "steps", "steps_deg": (0, 10, 45)}
    synthesize(SynthesisConfig(num_identities=NUM_PHOTOS, yaw=yaw, seed=9), uri, num_workers=1)
    return uri


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photos: str) -> list[dict]:
    run = Run(tmp_path_factory.mktemp("undisturbed"), photos)
    run.finish()
    return rows_of(run.output)


def rows_of(output: Path) -> list[dict]:
    """Every row of a data set, images and occupancy included, by photo."""
    rows = ds.dataset(output / "outcome=face").to_table().to_pylist()
    rows += ds.dataset(output / "outcome=reject").to_table().to_pylist()
    return sorted(rows, key=lambda row: row["face_id"])


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_is_finished_by_the_same_command(
    tmp_path: Path, photos: str, undisturbed: list[dict], seed: int
) -> None:
    """Everything is killed at once, at several points: as a node that goes down is."""
    rng = random.Random(seed)
    for _ in range(2):
        run = Run(tmp_path, photos)
        run.wait_for(run.num_files() + rng.randint(0, 2), seconds=90)
        time.sleep(rng.uniform(0, 2))
        run.kill()
    Run(tmp_path, photos).finish()
    assert rows_of(tmp_path / "pairs") == undisturbed


@pytest.mark.parametrize("title", ["isolation", "ray::MapWorker"])
def test_a_run_survives_the_loss_of_its_processes(
    tmp_path: Path, photos: str, undisturbed: list[dict], title: str
) -> None:
    """Stages' own processes, and the actors that hold them."""
    run = Run(tmp_path, photos)
    assert run.wait_for(1, seconds=120)
    killed = 0
    for process in run.workers(title)[:2]:
        os.kill(process, signal.SIGKILL)
        killed += 1
    assert killed
    run.finish()
    assert rows_of(run.output) == undisturbed


def test_two_runs_on_one_output_exclude_each_other(tmp_path: Path, photos: str) -> None:
    first = Run(tmp_path, photos)
    while not (tmp_path / "pairs/_run/lock.json").exists():
        assert first.process.poll() is None
        time.sleep(0.1)
    config = str(tmp_path / "generate.yaml")
    command = [*RAYBOOT, "generate", "--config", config]
    command += ["--input", photos, "--output", str(first.output)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "another run" in second.stderr
    first.finish()
