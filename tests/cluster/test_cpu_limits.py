import os
from pathlib import Path

import pytest

from rayboot.cluster.cpu_limits import count_usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))


def lay_out(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="no-quota"),
        pytest.param("0::/\n", {"cpu.max": "100000 100000\n"}, 1, id="docker-cpus-1"),
        pytest.param("0::/\n", {"cpu.max": "250000 100000\n"}, 2, id="kubernetes-2500m"),
        pytest.param("0::/\n", {"cpu.max": "20000 100000\n"}, 1, id="a-fifth-of-a-core"),
        pytest.param("0::/\n", {"cpu.max": "6400000 100000\n"}, 8, id="more-than-there-are"),
        pytest.param(
            "0::/user.slice/run.scope\n",
            {"user.slice/cpu.max": "300000 100000\n", "user.slice/run.scope/cpu.max": "max 100000"},
            3,
            id="quota-of-the-slice",
        ),
        pytest.param(
            "12:cpu,cpuacct:/docker/0123\n1:name=systemd:/docker/0123\n0::/system.slice\n",
            # The path is the host's, the mounted folder the container's own.
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
            2,
            id="version-1-in-docker",
        ),
        pytest.param(
            "4:cpu:/a/b\n",
            {
                "cpu/a/b/cpu.cfs_quota_us": "-1",
                "cpu/a/b/cpu.cfs_period_us": "100000",
                "cpu/a/cpu.cfs_quota_us": "150000",
                "cpu/a/cpu.cfs_period_us": "100000",
            },
            1,
            id="version-1-of-the-parent",
        ),
        pytest.param(
            "4:cpuset:/a\n",
            {"cpuset/a/cpu.cfs_quota_us": "1", "cpuset/a/cpu.cfs_period_us": "1"},
            8,
            id="another-controller",
        ),
        pytest.param("0::/../../init\n", {"cpu.max": "400000 100000"}, 4, id="outside-namespace"),
        pytest.param("nonsense\n", {"cpu.max": "what 1"}, 8, id="unreadable"),
    ],
)
def test_quotas_count(tmp_path: Path, groups: str, files: dict[str, str], expected: int) -> None:
    assert count_usable_cores(lay_out(tmp_path, groups, files)) == expected


def test_a_system_without_cgroups_has_its_cores(tmp_path: Path) -> None:
    assert count_usable_cores(tmp_path) == 8
