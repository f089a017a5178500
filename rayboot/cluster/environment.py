"""What in a user's environment keeps Ray from starting, or makes it start in another way.

Ray's own errors name none of these causes.
"""

import os
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["StartProblem", "find_start_problems"]

_LONGEST_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray appends to its temporary folder for the longest name of a socket."""

_MAX_SOCKET_BYTES = 107
"""Longest path of a socket on Linux."""

_LOCAL_HOST = "127.0.0.1"
_OFF = ("0", "false", "no")


class StartProblem(NamedTuple):
    """One problem.

    Attributes:
        name: what it concerns.
        detail: what is found.
        remedy: what to do.
        is_fatal: whether Ray cannot start.
    """

    name: str
    detail: str
    remedy: str
    is_fatal: bool


def find_start_problems(
    address: str | None, environment: Mapping[str, str] = os.environ
) -> Iterator[StartProblem]:
    """Yields the problems that a run meets with a Ray of this machine, or at an address.

    Args:
        address: address of a cluster; None is a Ray that is started on this machine.
        environment: environment variables by name.
    """
    if address is None:
        yield from _check_temporary_folder(environment)
    yield from _check_proxy(environment)
    yield from _check_uv(environment)


def _check_temporary_folder(environment: Mapping[str, str]) -> Iterator[StartProblem]:
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in environment), None)
    temporary = environment[variable] if variable else "/tmp"  # noqa: S108 - Ray's own choice
    limit = _MAX_SOCKET_BYTES - len(_LONGEST_SOCKET)
    if len(os.fsencode(temporary)) > limit:
        yield StartProblem(
            variable or "TMPDIR",
            f"expected a folder of at most {limit} bytes for Ray's sockets, got {temporary} of "
            f"{len(os.fsencode(temporary))}",
            "export RAY_TMPDIR=/tmp, or another short folder",
            True,
        )
        return
    folder = Path(temporary, "ray")
    existing = folder if folder.exists() else Path(temporary)
    effective = os.access in os.supports_effective_ids
    if not existing.is_dir() or not os.access(
        existing, os.R_OK | os.W_OK | os.X_OK, effective_ids=effective
    ):
        yield StartProblem(
            "Ray's folder",
            f"expected a folder that can be written, got {existing}, which belongs to "
            f"{_owner(existing)}",
            f"mkdir -p /tmp/$USER && export RAY_TMPDIR=/tmp/$USER, or remove {existing}",
            True,
        )


def _owner(path: Path) -> str:
    try:
        return f"user {path.owner()}"
    except (KeyError, OSError):
        return "another user, or does not exist"


def _check_proxy(environment: Mapping[str, str]) -> Iterator[StartProblem]:
    lower = {name.lower(): value for name, value in environment.items()}
    proxy = next((lower[name] for name in ("http_proxy", "all_proxy") if lower.get(name)), None)
    if proxy is None:
        return
    excluded = {"no": lower.get("no_proxy", "")}
    if not urllib.request.proxy_bypass_environment(_LOCAL_HOST, excluded):  # type: ignore[attr-defined]
        host = proxy.rpartition("@")[2]  # without a login
        yield StartProblem(
            "proxy",
            f"calls to {_LOCAL_HOST} go to the proxy {host}, which has no MLflow and no Ray of "
            "this machine",
            f"export NO_PROXY=localhost,{_LOCAL_HOST} and no_proxy with the same value",
            False,
        )


def _check_uv(environment: Mapping[str, str]) -> Iterator[StartProblem]:
    setting = environment.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "1").lower()
    if "UV_RUN_RECURSION_DEPTH" in environment and setting not in _OFF:
        yield StartProblem(
            "uv run",
            f"Ray copies {Path.cwd()} and everything below it to its workers, and refuses more "
            "than 512 MiB, because the command was started by `uv run`",
            "export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0, or start .venv/bin/rayboot",
            False,
        )
