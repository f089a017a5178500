"""Log output on stderr, as text for people or as one JSON object a line, with the id of the run.

Driver and workers log through the standard library; the details of a record go into
``extra``: ``face_id``, ``stage``, ``reason``, ``seconds``. A run keeps its id when it is
resumed. Workers write only JSON, to the log files that Ray keeps for them.
"""

import json
import logging
import os
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TextIO

from rayboot.credentials import redact_url_credentials

__all__ = [
    "FORMAT_VARIABLE",
    "JsonFormatter",
    "LogContext",
    "adopt_context",
    "adopt_inherited",
    "current_context",
    "failed_run",
    "logged_run",
    "logging_to_stderr",
    "logs_are_json",
    "new_run_id",
]

FORMAT_VARIABLE = "RAYBOOT_LOG_FORMAT"

_INHERITED = "RAYBOOT_LOG_CONTEXT"
"""Environment variable that passes a worker's context to its subprocesses, as JSON."""

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}
"""Attributes that every record has; any other attribute was passed as ``extra``."""


class LogContext(NamedTuple):
    """Fields that every log line of a process contains; the driver sends them to its workers.

    Attributes:
        run: id of the run; empty before it is known.
        command: name of the rayboot command.
        level: lowest level that is logged.
    """

    run: str = ""
    command: str = ""
    level: int = logging.INFO


class _State:
    """Logging state of this process, which all its threads share."""

    context, json, failed = LogContext(), False, ""


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which may be replaced after the handler is made."""

    def __init__(self, formatter: logging.Formatter) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(formatter)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the base class has an attribute
        """The stream, looked up for every line."""
        return sys.stderr


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: times in UTC, credentials in URLs redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without a line break at its end."""
        context = _State.context
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact_url_credentials(record.getMessage()),
            "run": context.run or None,
            "command": context.command or None,
            "host": socket.gethostname(),
            "process": record.process,
        }
        for key, value in vars(record).items():
            # Ray adds an attribute `time` of its own.
            if key not in _STANDARD_ATTRIBUTES and key not in entry and not key.startswith("_"):
                entry[key] = redact_url_credentials(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["exception"] = redact_url_credentials(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    """Formats a record as time and message: credentials in URLs redacted."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact_url_credentials(super().format(record))


@contextmanager
def logging_to_stderr(
    form: Literal["text", "json"], command: str, level: int = logging.INFO
) -> Iterator[None]:
    """Logs this process to stderr within a ``with`` block.

    Args:
        form: ``text`` for people, ``json`` for machines.
        command: name of the rayboot command.
        level: lowest level of rayboot's own loggers that is written.
    """
    root, rayboot = logging.getLogger(), logging.getLogger("rayboot")
    former, was_json, levels = _State.context, _State.json, (root.level, rayboot.level)
    handler = _StderrHandler(JsonFormatter() if form == "json" else _TextFormatter())
    _State.context, _State.json, _State.failed = LogContext("", command, level), form == "json", ""
    root.addHandler(handler)
    _set_level(level)
    logging.captureWarnings(form == "json")
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(levels[0])
        rayboot.setLevel(levels[1])
        _State.context, _State.json = former, was_json


_VERBOSE_LIBRARIES = (
    "OpenGL", "PIL", "adlfs", "aiobotocore", "alembic", "asyncio", "azure", "botocore", "fsspec",
    "gcsfs", "google", "matplotlib", "s3fs", "urllib3",
)  # fmt: skip
"""Libraries whose INFO records (tables created, no accelerator present) do not help users."""


def _set_level(level: int) -> None:
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("rayboot").setLevel(level)
    # At DEBUG libraries log very much, some of them the requests that they send.
    logging.getLogger().setLevel(max(level, logging.INFO))


def logs_are_json() -> bool:
    """Whether stderr contains JSON, so that nothing but log lines may be written to it."""
    return _State.json


def new_run_id() -> str:
    """Returns an id for a run that is not in MLflow: 32 hexadecimal digits, like MLflow's ids."""
    return uuid.uuid4().hex


@contextmanager
def logged_run(run: str) -> Iterator[str]:
    """Adds the id of a run to the log lines of a ``with`` block.

    In nested blocks the id of the outermost one is used: all lines of a round have the
    id of the round.

    Args:
        run: id of the run.

    Yields:
        The id that is in use.
    """
    former = _State.context
    _State.context = former._replace(run=former.run or run)
    try:
        yield _State.context.run
    except BaseException:
        _State.failed = _State.context.run
        raise
    finally:
        _State.context = former


def failed_run() -> str:
    """Returns the id of the run that an error ended; empty if no run failed."""
    return _State.failed


def current_context() -> LogContext:
    """Returns the log context of this process, to be sent to workers."""
    return _State.context


_ADOPT_LOCK = threading.Lock()


def adopt_context(context: LogContext | None) -> None:
    """Makes a worker process log as JSON to its stderr, with the context of the driver.

    Args:
        context: log context of the driver; None changes nothing.
    """
    if context is None:
        return
    with _ADOPT_LOCK:
        _State.context, _State.json = LogContext(*context), True
        os.environ[_INHERITED] = json.dumps(context)
        root = logging.getLogger()
        _set_level(context.level)
        if not any(isinstance(handler, _StderrHandler) for handler in root.handlers):
            root.addHandler(_StderrHandler(JsonFormatter()))


def adopt_inherited() -> None:
    """Adopts the context of the worker that started this process, if a worker did."""
    if text := os.environ.get(_INHERITED):
        adopt_context(LogContext(*json.loads(text)))
