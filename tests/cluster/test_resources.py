import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayboot.cluster.resources import (
    WAIT_VARIABLE,
    count_cores,
    find_largest_nodes,
    require_resources,
)
from rayboot.errors import RaybootError, RequestError
from tests.ray_head import start_head

JOB = f"""
import os, sys
from rayboot.cluster.session import connect
from rayboot.cluster.resources import require_resources

with connect(sys.argv[1]):
    import ray

    before = ray.cluster_resources().get("CPU", 0)
    require_resources([{{"CPU": 1.5}}] * 2, free_cpus=1)
    print(before, ray.cluster_resources()["CPU"])
    os.environ["{WAIT_VARIABLE}"] = "1"
    require_resources([{{"GPU": 1}}])
"""


@pytest.mark.usefixtures("ray_local")
def test_a_cluster_with_enough_resources() -> None:
    require_resources([{"CPU": 0.1}] * 29 + [{"CPU": 0.05}] * 2)
    require_resources([{"CPU": 5}], free_cpus=0)


@pytest.mark.usefixtures("ray_local")
def test_logical_cpus_beyond_the_cores_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # The cluster declares 5 CPUs.
    for num_cores, expected in ((2, 2), (16, 5)):
        monkeypatch.setattr(
            "rayboot.cluster.resources.os.sched_getaffinity",
            lambda _process, count=num_cores: set(range(count)),
        )
        assert count_cores() == expected


@pytest.mark.parametrize(
    ("actors", "words"),
    [
        ([{"CPU": 1}] * 4, "need 4 CPUs and 2 more must stay free.*cluster has 5"),
        ([{"CPU": 1, "GPU": 0.5}] * 2, "need 1 GPUs, but the cluster has 0"),
        ([{"CPU": 1}, {"CPU": 1, "TPU": 1}], "1 CPU and 1 TPU, and no node"),
    ],
)
@pytest.mark.usefixtures("ray_local")
def test_a_cluster_that_is_too_small(
    monkeypatch: pytest.MonkeyPatch, actors: list, words: str
) -> None:
    monkeypatch.delenv(WAIT_VARIABLE, raising=False)
    with pytest.raises(RaybootError, match=words) as refused:
        require_resources(actors)
    assert WAIT_VARIABLE in str(refused.value)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of one node with two GPUs."""
    resources = {"CPU": 16.0, "GPU": 2.0}
    node = {"NodeID": "a", "Alive": True, "Resources": resources}
    monkeypatch.setattr("ray.cluster_resources", lambda: resources)
    monkeypatch.setattr("ray.nodes", lambda: [node])
    monkeypatch.delenv(WAIT_VARIABLE, raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_fractions_are_not_spread_over_two_gpus() -> None:
    for fitting in (2 * [0.6], 4 * [0.5], 6 * [1 / 3], 20 * [0.1], [1, 0.5, 0.25, 0.25], [2]):
        require_resources([{"CPU": 0.1, "GPU": gpus} for gpus in fitting])
    # 1.8 GPUs in total, and each GPU has room for one.
    with pytest.raises(RaybootError, match=r"3 actors need 0.6 of a GPU.*room for 1: that is 3"):
        require_resources([{"CPU": 0.1, "GPU": 0.6}] * 3)
    with pytest.raises(RaybootError, match=r"5 actors need 0.4 of a GPU.*room for 2: that is 3"):
        require_resources([{"CPU": 0.1, "GPU": 0.4}] * 5)


@pytest.mark.usefixtures("two_gpus")
def test_more_than_one_gpu_is_a_whole_number() -> None:
    with pytest.raises(RequestError, match=r"1\.5 GPUs; Ray reserves"):
        require_resources([{"CPU": 1, "GPU": 1.5}])


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
@pytest.mark.usefixtures("ray_local")
def test_a_wait_time_that_is_not_a_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, text)
    with pytest.raises(RequestError, match=WAIT_VARIABLE):
        require_resources([{"CPU": 100}])


def test_the_largest_node_is_no_larger_than_the_machine(ray_local: Any) -> None:
    cpus, gpus, count = find_largest_nodes()
    assert 0 < cpus <= 5 and gpus == 0 and count == 1


@pytest.mark.slow
def test_nodes_that_a_cluster_adds_are_waited_for(tmp_path: Path) -> None:
    """Ray's own autoscaler adds two nodes of 3 CPUs each, and no node with a GPU."""
    nodes = {"worker": {"resources": {"CPU": 3}, "min_workers": 0, "max_workers": 2}}
    with start_head(tmp_path, num_cpus=0, node_types=nodes) as head:
        done = subprocess.run(
            [sys.executable, "-c", JOB, head.driver_address],
            env={**head.environment, WAIT_VARIABLE: "300"},
            capture_output=True,
            text=True,
            timeout=450,
        )
    assert done.stdout.split() == ["0", "6.0"], done.stderr[-2000:]
    assert "need 1 GPUs" in done.stderr and "`ray status`" in done.stderr
