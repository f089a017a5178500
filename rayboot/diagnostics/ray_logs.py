"""Parts of a support bundle about Ray: the last lines of its logs on this machine."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rayboot.errors import RequestError

__all__ = ["latest_sessions", "read_ray_logs"]

_MAX_FILE_BYTES = 64 * 2**10
_MAX_TOTAL_BYTES = 16 * 2**20

_RAY_MARKERS = (":job_id:", ":actor_name:", ":task_name:")
"""Beginnings of lines that tell Ray's driver which task wrote the next lines."""

_MAX_SESSIONS = 5
"""Number of sessions that are searched for a run, the latest first."""


def latest_sessions() -> list[Path]:
    """Returns the folders of Ray's sessions on this machine, the latest first."""
    sessions = [path for path in _ray_folder().glob("session_2*") if (path / "logs").is_dir()]
    return sorted(sessions, key=lambda path: path.stat().st_mtime, reverse=True)


def _ray_folder() -> Path:
    default = "/tmp"  # noqa: S108 - where Ray itself puts its sessions
    return Path(os.environ.get("RAY_TMPDIR") or default) / "ray"


def read_ray_logs(sessions: Sequence[Path], runs: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yields the last lines of every log of one session: that of the runs, or the latest.

    Args:
        sessions: folders from :func:`latest_sessions`.
        runs: ids of runs, as log lines contain them.

    Raises:
        RequestError: Ray has no session on this machine.
    """
    if not sessions:
        raise RequestError(
            f"no session of Ray below {_ray_folder()}; set RAY_TMPDIR to the folder of its sessions"
        )
    matching = next((s for s in sessions[:_MAX_SESSIONS] if _mentions_run(s, runs)), None)
    session = matching or sessions[0]
    choice = "of the run" if matching else "the latest; none has the run's id"
    yield "ray/session.txt", f"{session}, {choice if runs else 'the latest'}"
    remaining = _MAX_TOTAL_BYTES
    for path in _log_files(session / "logs"):
        if remaining <= 0:
            yield "ray/session.txt", f"{path.name} and all later files are left out for their size"
            return
        if text := _read_tail(path):
            remaining -= len(text)
            yield f"ray/{path.relative_to(session / 'logs')}", text


def _log_files(folder: Path) -> list[Path]:
    """Returns all log files; workers' output comes first, because it has rayboot's lines."""
    files = [p for p in folder.rglob("*") if p.is_file() and "old" not in p.parts]
    return sorted(files, key=lambda path: (not path.name.startswith("worker-"), path.name))


def _mentions_run(session: Path, runs: Sequence[str]) -> bool:
    ids = [run.encode() for run in runs]
    for path in (session / "logs").glob("worker-*.err"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if any(run_id in content for run_id in ids):
            return True
    return False


def _read_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MAX_FILE_BYTES))
            content = file.read()
    except OSError as error:
        return f"cannot be read: {error}"
    if size > _MAX_FILE_BYTES:
        # The first line is incomplete: half a secret would not be recognised by the redactor.
        content = content.partition(b"\n")[2]
    lines = content.decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(_RAY_MARKERS))
