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


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_when_where_and_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "generate"), logged_run("abc"):
        LOG.warning("%s is odd\nindeed", "a.jpg", extra={"face_id": "a.jpg", "seconds": 0.5})
    (line,) = lines(capsys)
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


def test_an_exception_is_in_its_line_without_logins(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "generate"):
        try:
            raise OSError("http://me:hunter2@host is away")
        except OSError:
            LOG.exception("no", extra={"uri": "s3://k:hunter2@b", "odd": {1, 2}})
    (line,) = lines(capsys)
    assert "Traceback" in line["exception"] and "***@host" in line["exception"]
    assert line["uri"] == "s3://***@b" and line["run"] is None
    assert "hunter2" not in json.dumps(line)


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("text", "generate"), logged_run("abc"):
        LOG.info("from %s", "http://me:hunter2@host", extra={"face_id": "a"})
        LOG.debug("not this")
        assert not logs_are_json()
    assert re.fullmatch(r"\d\d:\d\d:\d\d from http://\*\*\*@host\n", capsys.readouterr().err)


def test_afterwards_all_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, LOG.parent and LOG.parent.level, current_context())
    with logging_to_stderr("json", "generate", logging.DEBUG):
        assert logs_are_json() and current_context().level == logging.DEBUG
        logging.getLogger("somebody").debug("what libraries say at DEBUG is not shown")
        LOG.debug("ours is")
    assert [line["message"] for line in lines(capsys)] == ["ours is"]
    after = (list(root.handlers), root.level, LOG.parent and LOG.parent.level, current_context())
    assert before == after and not logs_are_json()


def test_the_outermost_run_counts_in_threads_too(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("json", "round"), logged_run("round"):
        with logged_run("generate") as run:
            thread = threading.Thread(target=LOG.info, args=("from a thread",))
            thread.start()
            thread.join()
        LOG.info("after")
    assert run == "round"
    assert [line["run"] for line in lines(capsys)] == ["round", "round"]


def test_an_error_tells_which_run_it_ended() -> None:
    with logging_to_stderr("text", "generate"):
        with pytest.raises(ValueError, match="x"), logged_run("abc"):
            raise ValueError("x")
        assert (failed_run(), current_context().run) == ("abc", "")
    with logging_to_stderr("text", "generate"):
        assert failed_run() == ""


def test_workers_and_their_children_write_lines_of_the_run() -> None:
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
    found = [json.loads(line) for line in done.stderr.splitlines()]
    told = [(line["message"], line["run"], line["command"]) for line in found]
    assert told == [("once", "abc", "generate"), ("from the child", "abc", "generate")]
    assert found[0]["face_id"] == "a.jpg"


def test_without_a_context_nothing_changes() -> None:
    before = list(logging.getLogger().handlers)
    adopt_context(None)
    assert logging.getLogger().handlers == before
    assert current_context() == LogContext()
