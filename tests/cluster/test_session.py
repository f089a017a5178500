"""Local sessions; each test starts Ray in a process of its own, apart from the shared one."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from rayboot.cluster import session
from rayboot.cluster.session import connect
from tests.ray_head import NUM_STARTS

# Niceness is relative to the driver, which may itself be a nice process.
SCRIPT = """
import os
import ray
from rayboot.cluster.session import connect

with connect(num_cpus=1, object_store_memory=100 * 2**20):
    worker = ray.get(ray.remote(num_cpus=0.1)(lambda: os.nice(0)).remote())
print(worker - os.nice(0))
"""


@pytest.mark.parametrize(
    ("variables", "niceness"),
    [({}, 0), pytest.param({"RAY_worker_niceness": "3"}, 3, marks=pytest.mark.slow)],
)
def test_local_workers_have_the_niceness_of_the_driver_unless_the_user_sets_it(
    variables: dict[str, str], niceness: int
) -> None:
    assert int(run_with_own_ray(SCRIPT, variables)) == niceness


def run_with_own_ray(script: str, variables: dict[str, str]) -> str:
    """Runs a script that starts Ray, again where the machine was too busy; returns its output."""
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("RAY_worker_niceness", "RAY_ADDRESS")
    }
    for _ in range(NUM_STARTS):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**inherited, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if "timed out during startup" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


REFUSED = """
from rayboot.cluster.session import connect
from rayboot.errors import ClusterError

try:
    with connect(num_cpus=1):
        pass
except ClusterError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RAY_ADDRESS": "127.0.0.1:1"}, "the Ray cluster at 127.0.0.1:1 cannot be reached"),
        # Longer than the path of a socket may be.
        (
            {"RAY_TMPDIR": "{tmp}/" + 90 * "t"},
            "Ray cannot be started on this machine: RAY_TMPDIR: ",
        ),
    ],
)
def test_a_ray_that_does_not_start_is_one_sentence(
    variables: dict[str, str], words: str, tmp_path: Path
) -> None:
    variables = {name: value.format(tmp=tmp_path) for name, value in variables.items()}
    for folder in variables.values():
        if folder.startswith("/"):
            Path(folder).mkdir()
    inherited = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", REFUSED],
        env={**inherited, "RAY_raylet_start_wait_time_s": "2", **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = done.stdout.splitlines()
    assert line.startswith(words) and len(line) < 600


TERMINATED = """
import os, signal, time
from rayboot.cluster.session import connect

with connect(num_cpus=1, object_store_memory=100 * 2**20):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_sigterm_interrupts_a_run_as_ctrl_c_does() -> None:
    assert run_with_own_ray(TERMINATED, {}) == "interrupted\n"


def test_the_dashboard_of_a_cluster_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rayboot")
    # Tests of other files leave a Ray running, which `connect` would use as it is;
    # it must outlive this one.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    for url, lines in (("10.0.0.1:8265", 1), ("", 0)):
        caplog.clear()
        monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url=url))  # noqa: B023
        monkeypatch.setattr(session, "print_restart_notice_aside", lambda: None)
        with connect("auto"):
            pass
        assert caplog.text.count("Ray's dashboard: http://10.0.0.1:8265") == lines
