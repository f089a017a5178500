import json
import logging
import os
import re
import subprocess
import sys
import threading
from typing import Any

import pytest

from rayboot.logs import (
    LogContext,
    adopt_context,
    current_context,
    failed_run,
    logged_run,
    logging_to_stderr,
    logs_are_json,
)

LOG = logging.getLogger("rayboot.tests")


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_time_process_and_details(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "generate"), logged_run("abc"):
        LOG.warning("%s is odd\nindeed", "a.jpg", extra={"face_id": "a.jpg", "seconds": 0.5})
    (line,) = log_lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("host") and line.pop("process") == os.getpid()
    assert line == {
        "level": "WARNING",
        "logger": "rayboot.tests",
        "message": "a.jpg is odd\nindeed",
        "run": "abc",
        "command": "generate",
        "face_id": "a.jpg",
        "seconds": 0.5,
    }


def test_an_exception_is_logged_without_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "generate"):
        try:
            raise OSError("http://me:hunter2@host is unavailable")
        except OSError:
            LOG.exception("no", extra={"uri": "s3://k:hunter2@b", "odd": {1, 2}})
    (line,) = log_lines(capsys)
    assert "Traceback" in line["exception"] and "***@host" in line["exception"]
    assert line["uri"] == "s3://***@b" and line["run"] is None
    assert "hunter2" not in json.dumps(line)


def test_text_lines_have_time_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("text", "generate"), logged_run("abc"):
        LOG.info("from %s", "http://me:hunter2@host", extra={"face_id": "a"})
        LOG.debug("not this")
        assert not logs_are_json()
    assert re.fullmatch(r"\d\d:\d\d:\d\d from http://\*\*\*@host\n", capsys.readouterr().err)


def test_the_logging_state_is_restored(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, LOG.parent and LOG.parent.level, current_context())
    with logging_to_stderr("json", "generate", logging.DEBUG):
        assert logs_are_json() and current_context().level == logging.DEBUG
        logging.getLogger("somebody").debug("not shown, because it is a library at DEBUG")
        LOG.debug("shown")
    assert [line["message"] for line in log_lines(capsys)] == ["shown"]
    after = (list(root.handlers), root.level, LOG.parent and LOG.parent.level, current_context())
    assert before == after and not logs_are_json()


def test_threads_log_the_id_of_the_outermost_run(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "round"), logged_run("round"):
        with logged_run("generate") as run:
            thread = threading.Thread(target=LOG.info, args=("from a thread",))
            thread.start()
            thread.join()
        LOG.info("after")
    assert run == "round"
    assert [line["run"] for line in log_lines(capsys)] == ["round", "round"]


def test_the_run_that_an_error_ended_is_recorded() -> None:
    with logging_to_stderr("text", "generate"):
        with pytest.raises(ValueError, match="x"), logged_run("abc"):
            raise ValueError("x")
        assert (failed_run(), current_context().run) == ("abc", "")
    with logging_to_stderr("text", "generate"):
        assert failed_run() == ""


def test_workers_and_their_subprocesses_log_with_the_context_of_the_run() -> None:
    child = (
        "import logging; from rayboot.logs import adopt_inherited; adopt_inherited(); "
        "logging.getLogger('rayboot.child').debug('from the child')"
    )
    worker = (
        "import logging, subprocess, sys; from rayboot.logs import LogContext, adopt_context\n"
        "context = LogContext('abc', 'generate', logging.DEBUG)\n"
        "adopt_context(context); adopt_context(context)\n"
        "logging.getLogger('rayboot.worker').info('once', extra={'face_id': 'a.jpg'})\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    contexts = [(line["message"], line["run"], line["command"]) for line in lines]
    assert contexts == [("once", "abc", "generate"), ("from the child", "abc", "generate")]
    assert lines[0]["face_id"] == "a.jpg"


def test_adopting_no_context_changes_nothing() -> None:
    before = list(logging.getLogger().handlers)
    adopt_context(None)
    assert logging.getLogger().handlers == before
    assert current_context() == LogContext()
