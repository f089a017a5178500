"""The ends of Ray's logs on this machine."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rayboot.errors import RequestError

__all__ = ["latest_sessions", "read_ray_logs"]

_TAIL = 64 * 2**10
_TOTAL = 16 * 2**20
_MARKS = (":job_id:", ":actor_name:", ":task_name:")
"""Lines by which Ray tells its driver whose the next ones are."""

_SESSIONS = 5
"""That are searched for a run, the latest first."""


def latest_sessions() -> list[Path]:
    """Folders of Ray's sessions on this machine, the latest first."""
    sessions = [path for path in _folder().glob("session_2*") if (path / "logs").is_dir()]
    return sorted(sessions, key=lambda path: path.stat().st_mtime, reverse=True)


def _folder() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray"


def read_ray_logs(sessions: Sequence[Path], runs: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """The last lines of every log of one session: of the runs, or the latest.

    Args:
        sessions: from :func:`latest_sessions`.
        runs: ids, as log lines have them.

    Raises:
        RequestError: Ray has written nothing here.
    """
    if not sessions:
        raise RequestError(f"no session of Ray under {_folder()}; RAY_TMPDIR says where they are")
    found = next((s for s in sessions[:_SESSIONS] if _has_one(s, runs)), None)
    chosen = found or sessions[0]
    which = "of the run" if found else "the latest; none has the run's id"
    yield "ray/session.txt", f"{chosen}, {which if runs else 'the latest'}"
    left = _TOTAL
    for path in _log_files(chosen / "logs"):
        if left <= 0:
            yield "ray/session.txt", f"{path.name} and what follows are left out"
            return
        if text := _tail(path):
            left -= len(text)
            yield f"ray/{path.relative_to(chosen / 'logs')}", text


def _log_files(folder: Path) -> list[Path]:
    """Workers' own output first: it has rayboot's lines."""
    files = [p for p in folder.rglob("*") if p.is_file() and "old" not in p.parts]
    return sorted(files, key=lambda path: (not path.name.startswith("worker-"), path.name))


def _has_one(session: Path, runs: Sequence[str]) -> bool:
    wanted = [run.encode() for run in runs]
    for path in (session / "logs").glob("worker-*.err"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if any(run in content for run in wanted):
            return True
    return False


def _tail(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            content = file.read()
    except OSError as error:
        return f"cannot be read: {error}"
    if size > _TAIL:
        # The first line is cut: half a secret would not be known again.
        content = content.partition(b"\n")[2]
    lines = content.decode("utf-8", "replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(_MARKS))
