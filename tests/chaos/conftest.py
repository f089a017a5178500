"""One stack for all events, and what runs without any come to."""

import datetime
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.stack.stack import Stack, StackSettings, running_stack
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig
from tests.chaos.cluster import user_environment, wait_for_all_nodes
from tests.chaos.record import Event, table
from tests.chaos.runs import ROOT, FinetuneRun, GenerateRun, Outcome, Run

FIRST_PORT = 24500
NUM_PHOTOS = 128
BUCKET = "s3://rayboot"

Begin = Callable[[str, Run], Event]
End = Callable[[Event, Run], None]


class Undisturbed(NamedTuple):
    """A run that nothing happened to: how long it took from the command on, what it left."""

    run: Any
    seconds: float
    outcome: Outcome


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    os.environ["OMP_NUM_THREADS"] = "1"
    # Not below pytest's own folder, which each pytest closes to other users: PostgreSQL is one.
    folder = Path(tempfile.mkdtemp(prefix="rayboot-chaos-"))
    folder.chmod(0o755)
    settings = StackSettings(folder, FIRST_PORT, worker_cpus=3, store_mb=200, with_prometheus=False)
    with running_stack(settings, print) as stack:
        yield stack
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    """Of a user's shell; this process too reaches the bucket, MLflow and the job API."""
    shell = user_environment(stack)
    before = dict(os.environ)
    ours = ("AWS_", "MLFLOW_", "RAY_AUTH")
    os.environ.update({name: value for name, value in shell.items() if name.startswith(ours)})
    yield shell
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def photos(environment: dict[str, str]) -> str:
    yaw = {"kind": "uniform", "max_deg": 25}
    synthesize(SynthesisConfig(num_identities=NUM_PHOTOS, yaw=yaw, seed=3), f"{BUCKET}/photos", 2)
    return f"{BUCKET}/photos"


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Where a run writes; tests of disks have another."""
    return f"{BUCKET}/{tmp_path.name}"


@pytest.fixture
def generate(
    stack: Stack, photos: str, environment: dict[str, str], tmp_path: Path, output: str
) -> Iterator[GenerateRun]:
    wait_for_all_nodes(stack)
    run = generate_run(tmp_path, photos, f"{output}/pairs", environment)
    yield run
    run.stop()


@pytest.fixture
def finetune(
    stack: Stack,
    undisturbed_pairs: Undisturbed,
    environment: dict[str, str],
    tmp_path: Path,
    output: str,
) -> Iterator[FinetuneRun]:
    wait_for_all_nodes(stack)
    run = finetune_run(tmp_path, undisturbed_pairs.run.output, f"{output}/runs", environment)
    yield run
    run.stop()


@pytest.fixture(scope="session")
def undisturbed_pairs(
    photos: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed-pairs")
    return timed(generate_run(folder, photos, f"{BUCKET}/undisturbed/pairs", environment))


@pytest.fixture(scope="session")
def undisturbed_training(
    undisturbed_pairs: Undisturbed,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    folder, storage = tmp_path_factory.mktemp("undisturbed-training"), f"{BUCKET}/undisturbed/runs"
    return timed(finetune_run(folder, undisturbed_pairs.run.output, storage, environment))


@pytest.fixture
def undisturbed(request: pytest.FixtureRequest) -> Undisturbed:
    """The one of the same task as the test's run."""
    kind = "pairs" if "generate" in request.fixturenames else "training"
    found: Undisturbed = request.getfixturevalue(f"undisturbed_{kind}")
    return found


def timed(run: Run) -> Undisturbed:
    started = time.monotonic()
    run.submit()
    run.finish(within_s=600)
    return Undisturbed(run, time.monotonic() - started, run.outcome())


def generate_run(
    folder: Path, photos: str, output: str, environment: dict[str, str]
) -> GenerateRun:
    config = {
        "input": photos,
        "output": output,
        "selection": {"detect_faces": False},
        "views": {"preset": "small"},
        "pools": {"batch_size": 4, "num_readers": 1},
    }
    return GenerateRun(folder, config, environment)


def finetune_run(folder: Path, data: str, storage: str, environment: dict[str, str]) -> FinetuneRun:
    """Two workers, each of which needs a node of its own; some 30 seconds of training."""
    config = {
        "data": data,
        "model": "builtin:compact",
        "storage": storage,
        "experiment": folder.name,
        "num_workers": 2,
        "cpus_per_worker": 2,
        "checkpoint_steps": 4,
        "max_failures": 2,
        "optimizer": {"batch_size": 16, "num_epochs": 12, "learning_rate": 1e-4},
    }
    return FinetuneRun(folder, config, environment)


@pytest.fixture(scope="session")
def records(request: pytest.FixtureRequest) -> Iterator[list[dict[str, Any]]]:
    """Of all events; written down at the end, whatever failed."""
    events: list[dict[str, Any]] = []
    yield events
    now = datetime.datetime.now(datetime.UTC)
    path = ROOT / f"runs/chaos/record-{now:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"num_cpus": os.cpu_count(), "events": events}, indent=1))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{table([events])}\n{path}")


@pytest.fixture
def finish(undisturbed: Undisturbed, records: list[dict[str, Any]]) -> End:
    """Waits for the end of a run and compares what it left with the undisturbed one's."""

    def finish(event: Event, run: Run) -> None:
        run.finish(within_s=600)
        event.finished()
        record = event.close(run.outcome(), undisturbed.outcome)
        records.append(record)
        assert (record["lost"], record["doubled"], record["equal"]) == (0, 0, True), record

    return finish


@pytest.fixture
def begin(undisturbed: Undisturbed) -> Begin:
    """Submits a run; returns when a good part of it is done."""

    def begin(name: str, run: Run) -> Event:
        event = Event(name, run, undisturbed.seconds)
        run.submit()
        run.wait_for(32 if run.task == "generate" else 10, within_s=300)
        return event

    return begin
