"""Runs that are killed and resumed have exactly the rows of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from rayboot.data.manifest import require_finished
from rayboot.io.lease import hold_lease
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig
from tests.s3 import S3Server

pytestmark = [pytest.mark.egl, pytest.mark.slow]

NUM_PHOTOS = 48
RAYBOOT = [sys.executable, "-m", "rayboot"]
SETTINGS = {
    "selection": {"detect_faces": False},
    "views": {"preset": "small"},
    "pools": {"batch_size": 4, "num_readers": 1},
}


class Run:
    """``rayboot generate`` in a process session of its own, with its own Ray."""

    def __init__(
        self,
        folder: Path,
        photos: str,
        uri: str | None = None,
        pools: dict | None = None,
        **environment: str,
    ) -> None:
        self.output = folder / "pairs"
        config = folder / "generate.yaml"
        folder.mkdir(exist_ok=True)
        settings = {**SETTINGS, "pools": {**SETTINGS["pools"], **(pools or {})}}
        config.write_text(json.dumps(settings))
        command = [*RAYBOOT, "generate", "--config", str(config)]
        command += ["--input", photos, "--output", uri or str(self.output)]
        self.process = subprocess.Popen(
            command, start_new_session=True, env={**os.environ, **environment}
        )

    def finish(self) -> None:
        assert self.process.wait(timeout=400) == 0

    def num_files(self) -> int:
        """Returns the number of files of faces and rejects."""
        return len(list(self.output.glob("outcome=*/*.parquet")))

    def num_finished(self) -> int:
        """Returns the number of photos in the checkpoint."""
        paths = self.output.glob("_run/checkpoint/*.parquet")
        done = [path for path in paths if not path.name.endswith(".pending.parquet")]
        return sum(pq.read_metadata(path).num_rows for path in done)

    def wait_for(self, num_files: int, seconds: float) -> bool:
        """Waits for so many files; returns False where the run or the time ends first."""
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
        """Returns the ids of the session's processes whose command line contains ``title``."""
        processes = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                session = os.getsid(int(folder.name))
            except (OSError, ProcessLookupError):
                continue
            if title in words and session == self.process.pid:
                processes.append(int(folder.name))
        return processes


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
    return table_to_rows(run.output)


def table_to_rows(output: Path) -> list[dict]:
    """Returns every row of a finished data set, images and occupancy included, by photo."""
    require_finished(str(output))
    rows = ds.dataset(output / "outcome=face").to_table().to_pylist()
    rows += ds.dataset(output / "outcome=reject").to_table().to_pylist()
    return sorted(rows, key=lambda row: row["face_id"])


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_is_finished_by_the_same_command(
    tmp_path: Path, photos: str, undisturbed: list[dict], seed: int
) -> None:
    """All processes are killed at once, at several points, as when a machine fails."""
    rng = random.Random(seed)
    for _ in range(2):
        run = Run(tmp_path, photos)
        run.wait_for(run.num_files() + rng.randint(0, 2), seconds=90)
        time.sleep(rng.uniform(0, 2))
        run.kill()
    Run(tmp_path, photos).finish()
    assert table_to_rows(tmp_path / "pairs") == undisturbed


def test_the_number_of_actors_changes_no_row(
    tmp_path: Path, photos: str, undisturbed: list[dict]
) -> None:
    pools = {"num_readers": 2, "num_reconstruct_actors": 2, "num_render_actors": 2}
    cpus = {"reader_cpus": 0.05, "reconstruct_cpus": 0.4, "render_cpus": 0.4}
    run = Run(tmp_path, photos, pools=pools | cpus)
    run.finish()
    assert table_to_rows(run.output) == undisturbed


@pytest.mark.parametrize("title", ["isolation", "ray::MapWorker"])
def test_a_run_survives_killed_processes(
    tmp_path: Path, photos: str, undisturbed: list[dict], title: str
) -> None:
    """The subprocesses of stages, and the actors that own them."""
    run = Run(tmp_path, photos)
    assert run.wait_for(1, seconds=120)
    killed = 0
    for process in run.workers(title)[:2]:
        os.kill(process, signal.SIGKILL)
        killed += 1
    assert killed
    run.finish()
    assert table_to_rows(run.output) == undisturbed


def test_an_interrupted_run_prints_how_to_resume(
    tmp_path: Path, photos: str, undisturbed: list[dict], capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, photos)
    assert run.wait_for(1, seconds=120)
    # Like Ctrl-C in a terminal, which signals every process of the group.
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.process.wait(timeout=60) == 130
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("rayboot: interrupted; resume with: rayboot generate --config ")
    finished = run.num_finished()
    assert 0 < finished < NUM_PHOTOS
    Run(tmp_path, photos).finish()
    assert table_to_rows(run.output) == undisturbed
    # Finished photos are not processed again.
    assert f"\n{NUM_PHOTOS - finished} photos in " in capfd.readouterr().err


def test_a_run_survives_a_lost_node(tmp_path: Path, photos: str, undisturbed: list[dict]) -> None:
    """One of two nodes is lost, with its actors and the rows in its object store."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 5})
    try:
        node = cluster.add_node(num_cpus=3)
        run = Run(tmp_path, photos, RAY_ADDRESS=cluster.address)
        assert run.wait_for(1, seconds=120)
        cluster.remove_node(node, allow_graceful=False)
        run.finish()
    finally:
        cluster.shutdown()
    assert table_to_rows(run.output) == undisturbed


@pytest.mark.s3
def test_a_run_waits_for_an_unavailable_store(
    tmp_path: Path, photos: str, undisturbed: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store of both photos and pairs is unavailable for a minute."""
    server = S3Server(tmp_path)
    server.start()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    try:
        store = server.filesystem()
        store.call_s3("create_bucket", Bucket="faces")
        store.put(f"{photos}/Synthetic-3D", "faces/photos/Synthetic-3D", recursive=True)
        run = Run(tmp_path, "s3://faces/photos", "s3://faces/pairs")
        while not store.glob("faces/pairs/outcome=*/*.parquet"):
            assert run.process.poll() is None
            time.sleep(0.2)
        server.kill()
        time.sleep(60)
        assert run.process.poll() is None
        server.start()
        run.finish()
        server.filesystem().get("faces/pairs/", f"{tmp_path}/pairs/", recursive=True)
    finally:
        server.kill()
    assert without_uris(table_to_rows(run.output)) == without_uris(undisturbed)


def without_uris(rows: list[dict]) -> list[dict]:
    return [{**row, "source_uri": None} for row in rows]


def test_two_runs_on_one_output_exclude_each_other(
    tmp_path: Path, photos: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with hold_lease(str(tmp_path / "pairs/_run/lock.json"), heartbeat_s=0.5):
        run = Run(tmp_path, photos)
        assert run.process.wait(timeout=120) == 1
    assert "another run" in capfd.readouterr().err.splitlines()[-1]
    assert run.num_files() == 0
    Run(tmp_path, photos).finish()
