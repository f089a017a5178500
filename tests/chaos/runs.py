"""Runs submitted as jobs by ``rayboot submit``, as by a user, whose output is stored."""

import json
import re
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from rayboot.data.manifest import require_finished
from rayboot.io.storage import arrow_filesystem, join_uri, read_bytes
from rayboot.registry.runs import make_client
from rayboot.submission.job import stop_job

__all__ = ["FinetuneRun", "GenerateRun", "Outcome", "Run"]

ROOT = Path(__file__).resolve().parents[2]
_RAYBOOT = [sys.executable, "-m", "rayboot"]


class Outcome(NamedTuple):
    """The outcome of a finished run.

    Attributes:
        counts: number of occurrences of each photo or step, which must be one.
        content: everything that must be equal in spite of an event.
    """

    counts: dict[str, int]
    content: Any


class Run:
    """A config, and the jobs that were submitted for it one after the other.

    Args:
        folder: folder of the config and of the jobs' logs.
        config: config of the task.
        environment: environment of the user's shell.
    """

    task: str
    unit: str
    lag_s = 0.0
    """Delay of :meth:`num_done`, seconds."""

    def __init__(self, folder: Path, config: dict[str, Any], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config, self._environment = folder, config, environment
        self._num_jobs = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "config.yaml").write_text(json.dumps(config))

    def submit(self) -> None:
        """Starts the command, the first time or again; returns at once."""
        self._num_jobs += 1
        command = [*_RAYBOOT, "submit", self.task, "--config", str(self.folder / "config.yaml")]
        command += ["--address", self._environment["RAY_API_SERVER_ADDRESS"]]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=ROOT, env=self._environment
            )

    @property
    def _log(self) -> Path:
        return self.folder / f"job-{self._num_jobs}.log"

    def log_text(self) -> str:
        """Returns the output of the job that was submitted last, with its progress bar."""
        return self._log.read_text(errors="replace")

    def last_message(self) -> str:
        """Returns the last line of the output that is rayboot's own."""
        lines = [
            line for line in re.split(r"[\r\n]", self.log_text()) if line.startswith("rayboot: ")
        ]
        return lines[-1] if lines else ""

    def exit_status(self) -> int | None:
        """Returns the exit status of the command; None while it follows the job."""
        assert self._process is not None
        return self._process.poll()

    def wait(self, within_s: float) -> int:
        """Waits for the end of the job and returns its exit status."""
        deadline = time.monotonic() + within_s
        while (status := self.exit_status()) is None:
            assert time.monotonic() < deadline, (
                f"not ended after {within_s:.0f} s:\n{self._log_end()}"
            )
            time.sleep(0.2)
        return status

    def finish(self, within_s: float) -> None:
        """Waits for the end of the job, which must succeed."""
        status = self.wait(within_s)
        assert status == 0, f"status {status}:\n{self._log_end()}"

    def stop(self) -> None:
        """Stops the command and its job, if they are running."""
        if self._process is None or self.exit_status() is not None:
            return
        if match := re.search(r"^rayboot-\w+-\w{8}$", self.log_text(), re.MULTILINE):
            stop_job(self._environment["RAY_API_SERVER_ADDRESS"], match[0])
        self._process.kill()
        self._process.wait()

    def num_done(self) -> int:
        """Returns the number of finished photos or steps."""
        raise NotImplementedError

    def outcome(self) -> Outcome:
        """Returns the outcome of the finished run."""
        raise NotImplementedError

    def wait_for(self, num_done: int, within_s: float) -> None:
        """Returns when at least ``num_done`` photos or steps are finished."""
        deadline = time.monotonic() + within_s
        while (done := self.num_done()) < num_done:
            assert self.exit_status() is None, f"ended with {done} done:\n{self._log_end()}"
            assert time.monotonic() < deadline, f"{done} of {num_done} done:\n{self._log_end()}"
            time.sleep(0.1)

    def _log_end(self) -> str:
        return self.log_text()[-6000:]


class GenerateRun(Run):
    """A run of ``generate``; a photo is done when it is in the run's checkpoint."""

    task, unit = "generate", "photos"

    def __init__(self, folder: Path, config: dict[str, Any], environment: dict[str, str]) -> None:
        super().__init__(folder, config, environment)
        self._rows: dict[str, int] = {}

    @property
    def output(self) -> str:
        """URI of the pairs data set."""
        return str(self.config["output"])

    def num_done(self) -> int:
        """Returns the number of photos whose rows are written and checkpointed."""
        # Without rayboot's own functions, which wait for an unavailable store.
        filesystem, path = url_to_fs(self.output, use_listings_cache=False)
        for name in filesystem.glob(f"{path}/_run/checkpoint/*.parquet"):
            if name not in self._rows and not name.endswith(".pending.parquet"):
                with filesystem.open(name) as file:
                    self._rows[name] = pq.read_metadata(file).num_rows
        return sum(self._rows.values())

    def outcome(self) -> Outcome:
        """Returns every row, images and occupancy included, by photo."""
        require_finished(self.output)
        rows = []
        for outcome in ("face", "reject"):
            filesystem, path = arrow_filesystem(join_uri(self.output, f"outcome={outcome}"))
            rows += ds.dataset(path, filesystem=filesystem).to_table().to_pylist()
        names = [str(row["face_id"]) for row in rows]
        counts = {name: names.count(name) for name in names}
        return Outcome(counts, dict(zip(names, rows, strict=True)))


class FinetuneRun(Run):
    """A run of ``finetune``; a step is done when the progress bar shows it."""

    task, unit = "finetune", "steps"
    # The bar is updated once a second, and the job's log is polled once a second.
    lag_s = 2.5

    def num_done(self) -> int:
        """Returns the step in the progress bar of the last job."""
        shown = re.findall(r"fine-tune:[^\r\n]*?(\d+)/\d+ \[", self.log_text())
        return int(shown[-1]) if shown else 0

    def outcome(self) -> Outcome:
        """Returns the points of MLflow's metrics by step and epoch with values, and the weights."""
        assert self._client.get_run(self._run_id).info.status == "FINISHED"
        counts: dict[str, int] = {}
        values: dict[str, float] = {}
        for metric in ("loss", "train_loss", "val_loss", "val_iou", "learning_rate"):
            for point in self._client.get_metric_history(self._run_id, metric):
                name = f"{metric} {point.step}"
                counts[name] = counts.get(name, 0) + 1
                values[name] = point.value
        weights = read_bytes(join_uri(self.config["storage"], "finetune.safetensors"))
        return Outcome(counts, (values, weights))

    @cached_property
    def _client(self) -> Any:
        return make_client(self._environment["MLFLOW_TRACKING_URI"])

    @cached_property
    def _run_id(self) -> str:
        run_file = json.loads(read_bytes(join_uri(self.config["storage"], "finetune.run.json")))
        return str(run_file["run_id"])
