"""Log lines with the run that they are of: for people on stderr, or a JSON object each.

Driver and workers write through the loggers of the standard library; what a line is about goes
into ``extra``: ``face_id``, ``stage``, ``reason``, ``seconds``. A run has one id however often
it is resumed. Workers write JSON alone, into the files that Ray keeps for them.
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
from typing import Literal, NamedTuple

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
"""In a worker's environment: its context, for the processes that it starts."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of any record; others came as ``extra``."""


class LogContext(NamedTuple):
    """What every line of a process says; it travels to workers.

    Attributes:
        run: id of the run; empty before it is known.
        command: of rayboot.
        level: of the least important lines that are written.
    """

    run: str = ""
    command: str = ""
    level: int = logging.INFO


class _State:
    """Of this process: threads write lines of the same run."""

    context, json, failed = LogContext(), False, ""


class _Stderr(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at the time."""

    def __init__(self, formatter: logging.Formatter) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(formatter)

    @property
    def stream(self) -> object:  # type: ignore[override]
        """Looked up for every line."""
        return sys.stderr


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, in UTC; URLs lose logins."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
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
            # Ray adds a time of its own.
            if key not in _OWN and key not in entry and not key.startswith("_"):
                entry[key] = redact_url_credentials(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["exception"] = redact_url_credentials(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact_url_credentials(super().format(record))


@contextmanager
def logging_to_stderr(
    form: Literal["text", "json"], command: str, level: int = logging.INFO
) -> Iterator[None]:
    """Log lines of this process for the time of a ``with`` block.

    Args:
        form: for people, or for machines.
        command: of rayboot.
        level: of the least important lines of rayboot's own that are written.
    """
    root, ours = logging.getLogger(), logging.getLogger("rayboot")
    former, was_json, levels = _State.context, _State.json, (root.level, ours.level)
    handler = _Stderr(JsonFormatter() if form == "json" else _TextFormatter())
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
        ours.setLevel(levels[1])
        _State.context, _State.json = former, was_json


_CHATTERS = (
    "OpenGL", "PIL", "aiobotocore", "alembic", "asyncio", "botocore", "fsspec", "matplotlib",
    "s3fs", "urllib3",
)  # fmt: skip
"""What they tell (tables made, an accelerator not found) is of no use to users."""


def _set_level(level: int) -> None:
    for name in _CHATTERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("rayboot").setLevel(level)
    # At DEBUG libraries tell a lot, some of them what they send to a server.
    logging.getLogger().setLevel(max(level, logging.INFO))


def logs_are_json() -> bool:
    """Whether stderr is for machines: then nothing but log lines belongs there."""
    return _State.json


def new_run_id() -> str:
    """An id for a run that has none in MLflow: 32 hexadecimal digits, as MLflow's own."""
    return uuid.uuid4().hex


@contextmanager
def logged_run(run: str) -> Iterator[str]:
    """Gives the lines of a ``with`` block a run's id; the outermost block's counts.

    What a round does bears the round's id.

    Args:
        run: its id.

    Yields:
        The id that counts.
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
    """The run that an error ended; empty where there is none."""
    return _State.failed


def current_context() -> LogContext:
    """What this process' lines say, to be handed to workers."""
    return _State.context


_ADOPTING = threading.Lock()


def adopt_context(context: LogContext | None) -> None:
    """Makes a worker's process write lines of a run, as JSON to its stderr; None changes nothing.

    Args:
        context: of the driver.
    """
    if context is None:
        return
    with _ADOPTING:
        _State.context, _State.json = LogContext(*context), True
        os.environ[_INHERITED] = json.dumps(context)
        root = logging.getLogger()
        _set_level(context.level)
        if not any(isinstance(handler, _Stderr) for handler in root.handlers):
            root.addHandler(_Stderr(JsonFormatter()))


def adopt_inherited() -> None:
    """The same in a process that a worker started."""
    if text := os.environ.get(_INHERITED):
        adopt_context(LogContext(*json.loads(text)))
