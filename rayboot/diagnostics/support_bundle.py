"""The bundle: what each part has to say, redacted, in one archive that is searched again."""

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

__all__ = ["Bundle", "write_bundle"]

_PATIENCE_S = 120.0
"""For all parts together: a server that is away must not keep the others back."""

Part = Callable[[], Iterator[tuple[str, str]]]
"""Gives files of the bundle, name and text; what has a name again is appended."""


class Bundle(NamedTuple):
    """What was written.

    Attributes:
        path: of the archive.
        files: sizes in bytes, by name.
        missing: why a part is not there, or not whole, by its name.
    """

    path: Path
    files: dict[str, int]
    missing: dict[str, str]

    def summary(self) -> dict[str, tuple[int, int]]:
        """Number of files and bytes by what stands at the top."""
        found: dict[str, tuple[int, int]] = {}
        for name, size in self.files.items():
            top, slash, _ = name.partition("/")
            count, total = found.get(top + slash, (0, 0))
            found[top + slash] = (count + 1, total + size)
        return found


def write_bundle(
    out: Path,
    config: Path | None = None,
    runs: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    patience_s: float = _PATIENCE_S,
) -> Bundle:
    """Collects what helps to understand a failure; whatever is broken is said in it.

    Args:
        out: the archive, ``.tar.gz``.
        config: YAML of the run.
        runs: folders or URIs of what the run wrote.
        environment: variables, of which all secrets are known.
        patience_s: for all parts together.

    Raises:
        RequestError: the archive cannot be written.
        RaybootError: a known secret was found in it; it is removed.
    """
    if not out.name.endswith((".tar.gz", ".tgz")):
        raise RequestError(f"--out {out}: expected a name that ends in .tar.gz")
    text = _text_of(config)
    redactor = Redactor(find_secrets(environment, [text, *runs]))
    collected = _collect(_parts(config, text, runs, environment), patience_s)
    files = {name: redactor.redact(text) for name, text in collected.files.items()}
    missing = {name: redactor.redact(why) for name, why in collected.missing.items()}
    files["contents.txt"] = _contents(files, missing)
    payloads = {redactor.redact(name): text.encode() for name, text in sorted(files.items())}
    _write(out, payloads, redactor)
    return Bundle(out, {name: len(payload) for name, payload in payloads.items()}, missing)


def _text_of(config: Path | None) -> str:
    if config is None:
        return ""
    try:
        return config.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _parts(
    config: Path | None, text: str, runs: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Part]:
    # Before the doctor starts a Ray of its own.
    sessions = latest_sessions()
    parts: dict[str, Part] = {
        "machine": read_machine,
        "packages": read_packages,
        "environment": lambda: read_environment(environment),
        "doctor": lambda: _ask_doctor(config),
        "ray": lambda: read_ray_logs(sessions, _ids(runs)),
    }
    if config is not None:
        parts["config"] = lambda: _read_config(config, text)
    for number, run in enumerate(runs, 1):
        name = "run" if number == 1 else f"run-{number}"
        parts[name] = partial(read_run, run, name)
    if runs:
        parts["mlflow"] = lambda: _ask_mlflow(config, runs)
    return parts


def _read_config(config: Path, text: str) -> Iterator[tuple[str, str]]:
    if not text:
        config.read_text("utf-8")  # says why there is nothing
    yield "config.yaml", text


def _ask_doctor(config: Path | None) -> Iterator[tuple[str, str]]:
    for check in diagnose(read_requirements(config)):
        yield "doctor.txt", format_check(check)


def _ids(runs: Sequence[str]) -> list[str]:
    """Of all runs, for those that do without where one cannot be read."""
    found: dict[str, None] = {}
    for run in runs:
        with suppress(Exception):  # the part that reads the run says why
            found.update(dict.fromkeys(run_ids(run)))
    return list(found)


def _ask_mlflow(config: Path | None, runs: Sequence[str]) -> Iterator[tuple[str, str]]:
    own = next((path for run in runs if (path := Path(run) / "mlflow.db").exists()), None)
    store = f"sqlite:///{own.resolve()}" if own else read_requirements(config).tracking_uri
    for run_id in _ids(runs):
        try:
            found = json.dumps(describe_run(store, run_id), indent=1)
        except Exception as error:  # a run of `generate` is in no store
            found = f"{store}: {type(error).__name__}: {error}"
        yield f"mlflow/{run_id}.json", found


class _Collected:
    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self._lock, self._closed = threading.Lock(), False

    def add(self, name: str, text: str) -> None:
        with self._lock:
            if not self._closed:
                former = self.files.get(name)
                self.files[name] = text if former is None else f"{former}\n{text}"

    def close(self) -> None:
        """What comes later is dropped."""
        with self._lock:
            self._closed = True


def _collect(parts: Mapping[str, Part], patience_s: float) -> _Collected:
    """All parts at once, each in a thread that nobody waits for longer than that."""
    collected = _Collected()

    def run(name: str, part: Part) -> None:
        try:
            for file, text in part():
                collected.add(file, text)
        except Exception as error:  # what is broken is what the bundle is about
            collected.missing[name] = f"{type(error).__name__}: {error}"

    threads = {
        name: threading.Thread(target=run, args=(name, part), daemon=True)
        for name, part in parts.items()
    }
    deadline = time.monotonic() + patience_s
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            collected.missing[name] = f"not done after {patience_s:.0f} s"
    collected.close()
    return collected


def _contents(files: Mapping[str, str], missing: Mapping[str, str]) -> str:
    lines = [f"{len(text.encode()):>9} bytes  {name}" for name, text in sorted(files.items())]
    lines += [f"missing: {name}: {why}" for name, why in sorted(missing.items())]
    return "\n".join(lines)


def _write(out: Path, payloads: Mapping[str, bytes], redactor: Redactor) -> None:
    unfinished = out.with_name(f".{out.name}.part")
    try:
        # For its owner alone: paths and names of faces are in it.
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
    """Reads the archive as its receiver would."""
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            file = tar.extractfile(member)
            if redactor.leaks(member.name.encode()) or (file and redactor.leaks(file.read())):
                raise RaybootError(
                    f"the support bundle is not kept: a secret of this machine was left in its "
                    f"file {number} ({redactor.redact(member.name)}); please report this"
                )
