import os
import subprocess
import sys
from pathlib import Path

import pytest

from rayboot.cluster.environment import find_start_problems


def names(environment: dict[str, str], address: str | None = None) -> list[str]:
    return [problem.name for problem in find_start_problems(address, environment)]


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Starts Ray in a process with these variables."""
    program = (
        "import logging; logging.basicConfig()\n"
        "from rayboot.cluster.session import connect\n"
        "with connect(): pass"
    )
    inherited = {name: os.environ[name] for name in os.environ if name != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_temporary_folder_is_named_before_ray_starts(variable: str, tmp_path: Path) -> None:
    """Folders of batch systems: /scratch/project/user/job-number/..."""
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    done = start(**{variable: str(folder)})
    assert done.returncode == 1
    assert f"{variable}: expected a folder of at most 39 bytes" in done.stderr
    assert "export RAY_TMPDIR=/tmp" in done.stderr
    # What a cluster does with its folders is its own matter.
    assert names({variable: str(folder)}, "auto") == []


def test_the_longest_folder_that_is_accepted_suffices(tmp_path: Path) -> None:
    """Ray's own check of its sockets agrees with the limit."""
    from ray._private.utils import validate_socket_filepath

    session = "/ray/session_2026-11-30_01-29-52_065807_4194304/sockets/"
    longest = "/" + 38 * "x"
    for socket in ("plasma_store", "raylet"):
        validate_socket_filepath(f"{longest}{session}{socket}")
    with pytest.raises(OSError, match="AF_UNIX"):
        validate_socket_filepath(f"{longest}x{session}plasma_store")


def test_a_folder_of_another_user_is_named() -> None:
    """/tmp/ray on a shared machine, made by a colleague."""
    base = Path("/tmp") / f"rb-{os.getpid()}"
    (base / "ray").mkdir(parents=True)
    try:
        base.chmod(0o755)
        assert names({"TMPDIR": str(base)}) == []
        (base / "ray").chmod(0o755 if os.geteuid() == 0 else 0o555)
        effective = os.geteuid()
        if effective == 0:
            os.seteuid(65534)  # root may write everywhere
        try:
            (problem,) = find_start_problems(None, {"TMPDIR": str(base)})
        finally:
            os.seteuid(effective)
        assert problem.is_fatal
        assert f"got {base}/ray, which belongs to user" in problem.detail
        assert "RAY_TMPDIR=/tmp/$USER" in problem.remedy
    finally:
        (base / "ray").rmdir()
        base.rmdir()


@pytest.mark.parametrize(
    ("environment", "is_swallowed"),
    [
        ({}, False),
        ({"http_proxy": "http://proxy:3128"}, True),
        ({"HTTP_PROXY": "http://me:secret@proxy:3128"}, True),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "example.org"}, True),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.1"}, False),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, False),
        ({"https_proxy": "http://proxy:3128"}, False),
    ],
)
def test_a_proxy_that_swallows_local_calls_is_named(
    environment: dict[str, str], is_swallowed: bool
) -> None:
    problems = list(find_start_problems(None, environment))
    assert [problem.name for problem in problems] == ["proxy"] * is_swallowed
    assert not any(problem.is_fatal or "secret" in problem.detail for problem in problems)


def test_uv_run_is_named() -> None:
    environment = {"UV": "/usr/bin/uv", "UV_RUN_RECURSION_DEPTH": "1"}
    (problem,) = find_start_problems(None, environment)
    assert "RAY_ENABLE_UV_RUN_RUNTIME_ENV=0" in problem.remedy
    assert not problem.is_fatal
    assert names({**environment, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}) == []


def test_a_run_warns_when_it_starts() -> None:
    # Nothing answers at the address; the warning comes before.
    done = start(http_proxy="http://127.0.0.1:9", NO_PROXY="", no_proxy="", RAY_ADDRESS="[::1]:1")
    assert "WARNING" in done.stderr
    assert "calls to 127.0.0.1 go to the proxy http://127.0.0.1:9" in done.stderr
