"""Runs submitted as jobs, as a user does it: with ``rayboot submit``, whose output is kept."""

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
_RAYBOOT = [sys.executable, "-c", "from rayboot.cli import main; main()"]


class Outcome(NamedTuple):
    """What a finished run left.

    Attributes:
        counts: how often each thing is there that must be there once: photos, steps.
        content: all that must be equal, whatever happened.
    """

    counts: dict[str, int]
    content: Any


class Run:
    """A config, and the jobs that were submitted for it one after the other.

    Args:
        folder: of the config and what was said.
        config: of the task.
        environment: of the user's shell.
    """

    task: str
    unit: str
    lag_s = 0.0
    """How late :meth:`num_done` tells."""

    def __init__(self, folder: Path, config: dict[str, Any], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config, self._environment = folder, config, environment
        self._num_jobs = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "config.yaml").write_text(json.dumps(config))

    def submit(self) -> None:
        """The command, again where it was given before; returns at once."""
        self._num_jobs += 1
        command = [*_RAYBOOT, "submit", self.task, "--config", str(self.folder / "config.yaml")]
        command += ["--address", self._environment["RAY_API_SERVER_ADDRESS"]]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=ROOT, env=self._environment
            )

    @property
    def _log(self) -> Path:
        return self.folder / f"job-{self._num_jobs}.log"

    def said(self) -> str:
        """By the job that was submitted last, its bar included."""
        return self._log.read_text(errors="replace")

    def last_words(self) -> str:
        """The last line of it that is rayboot's own."""
        lines = [line for line in re.split(r"[\r\n]", self.said()) if line.startswith("rayboot: ")]
        return lines[-1] if lines else ""

    def ended(self) -> int | None:
        """Exit status of the command; None while it follows the job."""
        assert self._process is not None
        return self._process.poll()

    def wait(self, within_s: float) -> int:
        """For the end of the job; its exit status."""
        deadline = time.monotonic() + within_s
        while (status := self.ended()) is None:
            assert time.monotonic() < deadline, f"not ended after {within_s:.0f} s:\n{self._end()}"
            time.sleep(0.2)
        return status

    def finish(self, within_s: float) -> None:
        """Waits for a job that must succeed."""
        status = self.wait(within_s)
        assert status == 0, f"status {status}:\n{self._end()}"

    def stop(self) -> None:
        """Ends the command and its job, if they run."""
        if self._process is None or self.ended() is not None:
            return
        if found := re.search(r"^rayboot-\w+-\w{8}$", self.said(), re.MULTILINE):
            stop_job(self._environment["RAY_API_SERVER_ADDRESS"], found[0])
        self._process.kill()
        self._process.wait()

    def num_done(self) -> int:
        """How much is finished."""
        raise NotImplementedError

    def outcome(self) -> Outcome:
        """What the finished run left."""
        raise NotImplementedError

    def wait_for(self, num_done: int, within_s: float) -> None:
        """Returns when at least so much is finished."""
        deadline = time.monotonic() + within_s
        while (done := self.num_done()) < num_done:
            assert self.ended() is None, f"ended with {done} done:\n{self._end()}"
            assert time.monotonic() < deadline, f"{done} of {num_done} done:\n{self._end()}"
            time.sleep(0.1)

    def _end(self) -> str:
        return self.said()[-6000:]


class GenerateRun(Run):
    """Photos are done when the run's own checkpoint knows them, their rows written before."""

    task, unit = "generate", "photos"

    def __init__(self, folder: Path, config: dict[str, Any], environment: dict[str, str]) -> None:
        super().__init__(folder, config, environment)
        self._rows: dict[str, int] = {}

    @property
    def output(self) -> str:
        """URI of the pairs."""
        return str(self.config["output"])

    def num_done(self) -> int:
        """Photos whose rows are written and noted."""
        # Not by rayboot's own functions: they wait for a store that is away.
        filesystem, path = url_to_fs(self.output, use_listings_cache=False)
        for name in filesystem.glob(f"{path}/_run/checkpoint/*.parquet"):
            if name not in self._rows and not name.endswith(".pending.parquet"):
                with filesystem.open(name) as file:
                    self._rows[name] = pq.read_metadata(file).num_rows
        return sum(self._rows.values())

    def outcome(self) -> Outcome:
        """Every row, images and occupancy included, by photo."""
        require_finished(self.output)
        rows = []
        for outcome in ("face", "reject"):
            filesystem, path = arrow_filesystem(join_uri(self.output, f"outcome={outcome}"))
            rows += ds.dataset(path, filesystem=filesystem).to_table().to_pylist()
        names = [str(row["face_id"]) for row in rows]
        counts = {name: names.count(name) for name in names}
        return Outcome(counts, dict(zip(names, rows, strict=True)))


class FinetuneRun(Run):
    """Steps are done when the training says so, in the bar that the user sees."""

    task, unit = "finetune", "steps"
    # A second of the bar, and one of the job's log.
    lag_s = 2.5

    def num_done(self) -> int:
        """Step that the last job's bar shows."""
        shown = re.findall(r"fine-tune:[^\r\n]*?(\d+)/\d+ \[", self.said())
        return int(shown[-1]) if shown else 0

    def outcome(self) -> Outcome:
        """Points of MLflow's metrics by step and epoch; their values, and the weights."""
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
        kept = json.loads(read_bytes(join_uri(self.config["storage"], "finetune.run.json")))
        return str(kept["run_id"])
