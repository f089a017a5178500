"""One stack for all events, and the outcomes of undisturbed runs."""

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
    """A run without an event: its duration from the command on, and its outcome."""

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
    # Not below pytest's folder, which other users cannot read, and PostgreSQL runs as one.
    folder = Path(tempfile.mkdtemp(prefix="rayboot-chaos-"))
    folder.chmod(0o755)
    settings = StackSettings(folder, FIRST_PORT, worker_cpus=3, store_mb=200, with_prometheus=False)
    with running_stack(settings, print) as stack:
        yield stack
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    """Environment of a user's shell; this process gets its credentials as well."""
    shell = user_environment(stack)
    before = dict(os.environ)
    prefixes = ("AWS_", "MLFLOW_", "RAY_AUTH")
    os.environ.update({name: value for name, value in shell.items() if name.startswith(prefixes)})
    yield shell
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def photos(environment: dict[str, str]) -> str:
    yaw = {"kind": "uniform", "max_deg": 25}
    synthesize(SynthesisConfig(num_identities=NUM_PHOTOS, yaw=yaw, seed=3), f"{BUCKET}/photos", 1)
    return f"{BUCKET}/photos"


@pytest.fixture
def output(tmp_path: Path) -> str:
    """URI that a run writes to; overridden in the tests of disks."""
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
    return run_timed(generate_run(folder, photos, f"{BUCKET}/undisturbed/pairs", environment))


@pytest.fixture(scope="session")
def undisturbed_training(
    undisturbed_pairs: Undisturbed,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Undisturbed:
    folder, storage = tmp_path_factory.mktemp("undisturbed-training"), f"{BUCKET}/undisturbed/runs"
    return run_timed(finetune_run(folder, undisturbed_pairs.run.output, storage, environment))


@pytest.fixture
def undisturbed(request: pytest.FixtureRequest) -> Undisturbed:
    """The undisturbed run of the same task as the test's run."""
    kind = "pairs" if "generate" in request.fixturenames else "training"
    run: Undisturbed = request.getfixturevalue(f"undisturbed_{kind}")
    return run


def run_timed(run: Run) -> Undisturbed:
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
    """Makes a training of about 30 seconds with two workers, which do not fit on one node."""
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
    """Records of all events; written to a file at the end, even after a failure."""
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
    """Waits for the end of a run and compares its outcome with the undisturbed one's."""

    def finish(event: Event, run: Run) -> None:
        run.finish(within_s=600)
        event.finished()
        record = event.close(run.outcome(), undisturbed.outcome)
        records.append(record)
        assert (record["lost"], record["doubled"], record["equal"]) == (0, 0, True), record

    return finish


@pytest.fixture
def begin(undisturbed: Undisturbed) -> Begin:
    """Submits a run; returns when a part of it is done."""

    def begin(name: str, run: Run) -> Event:
        event = Event(name, run, undisturbed.seconds)
        run.submit()
        run.wait_for(32 if run.task == "generate" else 10, within_s=300)
        return event

    return begin
