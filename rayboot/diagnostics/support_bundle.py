"""The support bundle: redacted texts of all parts in one archive.

The archive is searched for known secrets once more before it is kept.
"""

import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rayboot.diagnostics.doctor import diagnose, format_check, read_requirements
from rayboot.diagnostics.machine_info import read_environment, read_machine, read_packages
from rayboot.diagnostics.ray_logs import latest_sessions, read_ray_logs
from rayboot.diagnostics.redaction import Redactor, find_secrets
from rayboot.diagnostics.run_files import read_run, run_ids
from rayboot.errors import RaybootError, RequestError
from rayboot.registry.run_description import describe_run

__all__ = ["SupportBundle", "write_support_bundle"]

_TIMEOUT_S = 120.0
"""Time for all parts together: an unavailable server must not block the others."""

Part = Callable[[], Iterator[tuple[str, str]]]
"""Yields files of the bundle as name and text; texts under the same name are joined."""


class SupportBundle(NamedTuple):
    """A support bundle that was written.

    Attributes:
        path: path of the archive.
        files: size in bytes by the name of the file.
        missing: reason why a part is missing or incomplete, by the name of the part.
    """

    path: Path
    files: dict[str, int]
    missing: dict[str, str]

    def summary(self) -> dict[str, tuple[int, int]]:
        """Returns number of files and bytes by top-level file or folder of the archive."""
        totals: dict[str, tuple[int, int]] = {}
        for name, size in self.files.items():
            top, slash, _ = name.partition("/")
            count, total = totals.get(top + slash, (0, 0))
            totals[top + slash] = (count + 1, total + size)
        return totals


def write_support_bundle(
    out: Path,
    config: Path | None = None,
    runs: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    timeout_s: float = _TIMEOUT_S,
) -> SupportBundle:
    """Collects what helps to explain a failure; the bundle lists the parts that failed.

    Args:
        out: path of the archive, ``.tar.gz``.
        config: YAML file of the run.
        runs: folders or URIs of the outputs of runs.
        environment: environment variables, whose secrets are redacted.
        timeout_s: time for all parts together.

    Raises:
        RequestError: the archive cannot be written.
        RaybootError: the archive contained a known secret; it was removed.
    """
    if not out.name.endswith((".tar.gz", ".tgz")):
        raise RequestError(f"--out {out}: expected a file name that ends in .tar.gz")
    text = _read_text(config)
    redactor = Redactor(find_secrets(environment, [text, *runs]))
    collected = _collect(_make_parts(config, text, runs, environment), timeout_s)
    files = {name: redactor.redact(text) for name, text in collected.files.items()}
    missing = {name: redactor.redact(why) for name, why in collected.missing.items()}
    files["contents.txt"] = _format_contents(files, missing)
    payloads = {redactor.redact(name): text.encode() for name, text in sorted(files.items())}
    _write_archive(out, payloads, redactor)
    return SupportBundle(out, {name: len(payload) for name, payload in payloads.items()}, missing)


def _read_text(config: Path | None) -> str:
    if config is None:
        return ""
    try:
        return config.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _make_parts(
    config: Path | None, text: str, runs: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Part]:
    # Listed here, before the doctor starts a Ray session of its own.
    sessions = latest_sessions()
    parts: dict[str, Part] = {
        "machine": read_machine,
        "packages": read_packages,
        "environment": lambda: read_environment(environment),
        "doctor": lambda: _run_checks(config),
        "ray": lambda: read_ray_logs(sessions, _readable_run_ids(runs)),
    }
    if config is not None:
        parts["config"] = lambda: _read_config(config, text)
    for number, run in enumerate(runs, 1):
        name = "run" if number == 1 else f"run-{number}"
        parts[name] = partial(read_run, run, name)
    if runs:
        parts["mlflow"] = lambda: _describe_mlflow_runs(config, runs)
    return parts


def _read_config(config: Path, text: str) -> Iterator[tuple[str, str]]:
    if not text:
        config.read_text("utf-8")  # raises the reason why the text is missing
    yield "config.yaml", text


def _run_checks(config: Path | None) -> Iterator[tuple[str, str]]:
    for check in diagnose(read_requirements(config)):
        yield "doctor.txt", format_check(check)


def _readable_run_ids(runs: Sequence[str]) -> list[str]:
    """Returns the ids of all runs that can be read; other parts report those that cannot."""
    ids: dict[str, None] = {}
    for run in runs:
        with suppress(Exception):  # the part that reads the run reports the reason
            ids.update(dict.fromkeys(run_ids(run)))
    return list(ids)


def _describe_mlflow_runs(config: Path | None, runs: Sequence[str]) -> Iterator[tuple[str, str]]:
    local = next((path for run in runs if (path := Path(run) / "mlflow.db").exists()), None)
    store = f"sqlite:///{local.resolve()}" if local else read_requirements(config).tracking_uri
    for run_id in _readable_run_ids(runs):
        try:
            text = json.dumps(describe_run(store, run_id), indent=1)
        except Exception as error:  # runs of `generate` are not tracked in MLflow
            text = f"{store}: {type(error).__name__}: {error}"
        yield f"mlflow/{run_id}.json", text


class _Collection:
    """Texts and failures of all parts; parts add to it from several threads."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self._lock, self._closed = threading.Lock(), False

    def add(self, name: str, text: str) -> None:
        """Adds a file, or appends to the one with that name; ignored once closed."""
        with self._lock:
            if not self._closed:
                existing = self.files.get(name)
                self.files[name] = text if existing is None else f"{existing}\n{text}"

    def close(self) -> None:
        """Makes later calls of :meth:`add` have no effect."""
        with self._lock:
            self._closed = True


def _collect(parts: Mapping[str, Part], timeout_s: float) -> _Collection:
    """Runs all parts concurrently, each in a thread that is abandoned after the timeout."""
    collected = _Collection()

    def run(name: str, part: Part) -> None:
        try:
            for file, text in part():
                collected.add(file, text)
        except Exception as error:  # failures are what a bundle is made for
            collected.missing[name] = f"{type(error).__name__}: {error}"

    threads = {
        name: threading.Thread(target=run, args=(name, part), daemon=True)
        for name, part in parts.items()
    }
    deadline = time.monotonic() + timeout_s
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            collected.missing[name] = f"not finished after {timeout_s:.0f} s"
    collected.close()
    return collected


def _format_contents(files: Mapping[str, str], missing: Mapping[str, str]) -> str:
    lines = [f"{len(text.encode()):>9} bytes  {name}" for name, text in sorted(files.items())]
    lines += [f"missing: {name}: {why}" for name, why in sorted(missing.items())]
    return "\n".join(lines)


def _write_archive(out: Path, payloads: Mapping[str, bytes], redactor: Redactor) -> None:
    unfinished = out.with_name(f".{out.name}.part")
    try:
        # Readable by its owner only: it contains paths and names of faces.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, payload in payloads.items():
                member = tarfile.TarInfo(f"support/{name}")
                member.size, member.mtime, member.mode = len(payload), int(time.time()), 0o600
                tar.addfile(member, io.BytesIO(payload))
        _require_clean(unfinished, redactor)
        unfinished.replace(out)
    except OSError as error:
        raise RequestError(f"--out {out}: cannot be written ({error}); choose another") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _require_clean(archive: Path, redactor: Redactor) -> None:
    """Searches the written archive for known secrets.

    Raises:
        RaybootError: the archive contains one.
    """
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            file = tar.extractfile(member)
            if redactor.leaks(member.name.encode()) or (file and redactor.leaks(file.read())):
                raise RaybootError(
                    "the support bundle was removed: a secret of this machine remained in its "
                    f"file {number} ({redactor.redact(member.name)}); please report this"
                )
