"""How the stack starts, waits for and ends a process; a small one stands in for the services."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from infra.stack.errors import StackError
from infra.stack.layout import Place, make_place
from infra.stack.leftovers import MARK, end_leftovers, find_leftovers
from infra.stack.service import Service, http_problem

IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLEEP = "import time; time.sleep(60)"


class Script(Service):
    """Python code, ready when it has written a file."""

    name = "script"
    ready_within_s: ClassVar[float] = 20.0
    ends_within_s: ClassVar[float] = 0.5

    def __init__(self, place: Place, code: str) -> None:
        super().__init__(place)
        self.code = f"open('ready', 'w').close()\n{code}"

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code]

    def problem(self) -> str | None:
        return None if (self.place.folder / "ready").exists() else "no file `ready`"


class Hopeless(Script):
    """Never ready."""

    ready_within_s: ClassVar[float] = 1.0

    def problem(self) -> str | None:
        return "no answer"


class SecondTime(Script):
    """Ready only when it was started again."""

    more_starts: ClassVar[int] = 1

    def problem(self) -> str | None:
        return None if (self.place.folder / "second").exists() else "not yet"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path / "stack", first_port=23500)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file}"
        time.sleep(0.05)


def test_a_service_is_started_and_ended(place: Place) -> None:
    service = Script(place, SLEEP)
    service.start()
    service.wait()
    assert service.ended() is None
    service.stop()
    service.stop()
    assert service.ended() is None, "one that was stopped did not end by itself"


def test_what_does_not_end_is_killed_with_its_children(place: Place) -> None:
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
    tell = "open('child', 'w').write(str(p.pid)); import os; os.rename('child', 'pid')\n"
    service = Script(place, IGNORE_TERM + child + tell + SLEEP)
    service.start()
    wait_for(place.folder / "pid")
    pid = int((place.folder / "pid").read_text())
    assert psutil.pid_exists(pid)
    service.stop()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_ends_is_named_with_its_last_words(place: Place) -> None:
    service = Hopeless(place, "import sys; print('no room on the disk'); sys.exit(3)")
    service.start()
    with pytest.raises(StackError, match=r"script ended with status 3(.|\n)*no room on the disk"):
        service.wait()


def test_one_that_is_never_ready_is_given_up(place: Place) -> None:
    service = Hopeless(place, SLEEP)
    service.start()
    with pytest.raises(StackError, match="script is not ready after 1 s: no answer"):
        service.wait()
    service.stop()


def test_one_may_be_started_again(place: Place) -> None:
    again = "import os, sys\nif not os.path.exists('first'): open('first', 'w'); sys.exit(1)\n"
    service = SecondTime(place, again + "open('second', 'w').close()\n" + SLEEP)
    service.start()
    service.wait()
    service.stop()


def test_leftovers_are_found_by_their_mark_and_ended(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    # Its child leaves the group, as Ray's workers do.
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], "
    code += f"start_new_session=True); open(sys.argv[1], 'w').close(); {SLEEP}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / f"up-{folder.name}")],
            env={**os.environ, MARK: str(folder)},
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
        process.wait(10)


def test_a_page_that_does_not_answer_is_named(place: Place) -> None:
    problem = http_problem(place.url("mlflow"))
    assert problem is not None and place.url("mlflow") in problem


def test_a_service_does_not_hear_of_another_cluster(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    write = "import os; open('names', 'w').write(' '.join(os.environ)); os.rename('names', 'told')"
    service = Script(place, f"{write}\n{SLEEP}")
    service.start()
    wait_for(place.folder / "told")
    service.stop()
    names = (place.folder / "told").read_text().split()
    assert "RAY_AUTH_TOKEN" not in names
    assert {"SOMETHING_ELSE", MARK} <= set(names)
