"""Local sessions; each test starts Ray in a process of its own, apart from the shared one."""

import os
import subprocess
import sys

import pytest

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
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("RAY_worker_niceness", "RAY_ADDRESS")
    }
    for _ in range(NUM_STARTS):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**inherited, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if "timed out during startup" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == niceness
