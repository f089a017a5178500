"""How the stack starts, waits for and stops a process, with a script instead of a service."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from infra.stack.errors import StackError
from infra.stack.layout import StackLayout, create_layout
from infra.stack.leftovers import STACK_VARIABLE, end_leftovers, find_leftovers
from infra.stack.service import Service, find_http_problem

IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLEEP = "import time; time.sleep(60)"


class Script(Service):
    """Python code that is ready when it has written a file."""

    name = "script"
    ready_timeout_s: ClassVar[float] = 120.0
    stop_timeout_s: ClassVar[float] = 0.5

    def __init__(self, layout: StackLayout, code: str) -> None:
        super().__init__(layout)
        self.code = f"open('ready', 'w').close()\n{code}"

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code]

    def find_problem(self) -> str | None:
        return None if (self.layout.folder / "ready").exists() else "no file `ready`"


class NeverReady(Script):
    """A service that is never ready."""

    ready_timeout_s: ClassVar[float] = 1.0

    def find_problem(self) -> str | None:
        return "no answer"


class ReadyAfterRestart(Script):
    """A service that is ready after one restart."""

    num_restarts: ClassVar[int] = 1

    def find_problem(self) -> str | None:
        return None if (self.layout.folder / "second").exists() else "not yet"


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return create_layout(tmp_path / "stack", first_port=23500)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file}"
        time.sleep(0.05)


def test_a_service_is_started_and_stopped(layout: StackLayout) -> None:
    service = Script(layout, SLEEP)
    service.start()
    service.wait()
    assert service.exit_status() is None
    service.stop()
    service.stop()
    assert service.exit_status() is None, "a stopped service did not end by itself"


def test_a_process_that_ignores_the_signal_is_killed_with_its_children(layout: StackLayout) -> None:
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
    report = "open('child', 'w').write(str(p.pid)); import os; os.rename('child', 'pid')\n"
    service = Script(layout, IGNORE_TERM + child + report + SLEEP)
    service.start()
    wait_for(layout.folder / "pid")
    pid = int((layout.folder / "pid").read_text())
    assert psutil.pid_exists(pid)
    service.stop()
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_ends_is_reported_with_its_last_output(layout: StackLayout) -> None:
    service = NeverReady(layout, "import sys; print('no space left on the disk'); sys.exit(3)")
    service.start()
    with pytest.raises(
        StackError, match=r"script ended with status 3(.|\n)*no space left on the disk"
    ):
        service.wait()


def test_a_service_that_is_never_ready_times_out(layout: StackLayout) -> None:
    service = NeverReady(layout, SLEEP)
    service.start()
    with pytest.raises(StackError, match="script is not ready after 1 s: no answer"):
        service.wait()
    service.stop()


def test_a_service_can_be_restarted(layout: StackLayout) -> None:
    fail_once = "import os, sys\nif not os.path.exists('first'): open('first', 'w'); sys.exit(1)\n"
    service = ReadyAfterRestart(layout, fail_once + "open('second', 'w').close()\n" + SLEEP)
    service.start()
    service.wait()
    service.stop()


def test_leftovers_are_found_by_their_variable_and_killed(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    # The child leaves the process group, like Ray's workers.
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], "
    code += f"start_new_session=True); open(sys.argv[1], 'w').close(); {SLEEP}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / f"up-{folder.name}")],
            env={**os.environ, STACK_VARIABLE: str(folder)},
        )
        for folder in (mine, other)
    ]
    for folder in (mine, other):
        wait_for(tmp_path / f"up-{folder.name}")
    assert len(find_leftovers(mine)) == 2
    assert end_leftovers(mine) == 2
    assert find_leftovers(mine) == [] and len(find_leftovers(other)) == 2
    assert end_leftovers(other) == 2
    for process in started:
        process.wait(120)


def test_a_page_that_does_not_respond_is_reported(layout: StackLayout) -> None:
    problem = find_http_problem(layout.url("mlflow"))
    assert problem is not None and layout.url("mlflow") in problem


def test_a_service_does_not_inherit_variables_of_another_cluster(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("SOMETHING_ELSE", "inherited")
    write = (
        "import os; open('names', 'w').write(' '.join(os.environ)); os.rename('names', 'complete')"
    )
    service = Script(layout, f"{write}\n{SLEEP}")
    service.start()
    wait_for(layout.folder / "complete")
    service.stop()
    names = (layout.folder / "complete").read_text().split()
    assert "RAY_AUTH_TOKEN" not in names
    assert {"SOMETHING_ELSE", STACK_VARIABLE} <= set(names)
