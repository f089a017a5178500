"""A process that the stack starts, waits for, and ends."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import Place
from infra.stack.leftovers import MARK

__all__ = ["Service", "http_problem"]

_TAIL_LINES = 25
_LOOK_S = 0.3
_TOLD = ("RAY_", "AWS_", "MLFLOW_")


class Service(ABC):
    """One process with its children, in a group of its own.

    A subclass says what to run and how to see that it is ready.

    Args:
        place: of the stack.
    """

    name: str
    ready_within_s: ClassVar[float] = 240.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    ends_within_s: ClassVar[float] = 15.0
    """After this it is killed."""
    more_starts: ClassVar[int] = 0
    """How often it is started again if it ends before it is ready."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run; may prepare files."""

    @abstractmethod
    def problem(self) -> str | None:
        """Why it is not ready; None when it is."""

    def environment(self) -> Mapping[str, str]:
        """Variables beside those of the stack itself."""
        return {}

    def user(self) -> str | None:
        """Whom to run as; None is who runs the stack."""
        return None

    @property
    def log(self) -> Path:
        """Its output."""
        return self.place.log(self.name)

    def start(self) -> None:
        """Starts the process; does not wait."""
        command = self.command()
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_neutral(os.environ), **self.environment(), MARK: str(self.place.folder)},
                # Ctrl-C is for the stack, which then ends its services in order.
                start_new_session=True,
                user=self.user(),
            )

    def wait(self) -> None:
        """Returns when it is ready.

        Raises:
            StackError: it ended, or takes longer than ``ready_within_s``.
        """
        deadline, starts_left = time.monotonic() + self.ready_within_s, self.more_starts
        while (problem := self.problem()) is not None:
            if (status := self.ended()) is not None:
                if starts_left == 0:
                    raise StackError(f"{self.name} ended with status {status}; {self._log_end()}")
                starts_left -= 1
                self.stop()
                self.start()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} is not ready after {self.ready_within_s:.0f} s: {problem}; "
                    f"{self._log_end()}"
                )
            time.sleep(_LOOK_S)

    @property
    def pid(self) -> int | None:
        """Of the process that was started last; None before and after."""
        return None if self._process is None else self._process.pid

    def ended(self) -> int | None:
        """Exit status of a process that ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Asks it to end, and kills what does not; fine where it never started."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.stop_signal)
            try:
                process.wait(self.ends_within_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        try:
            # Children that outlived it; the number of the group is theirs until they end.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process = None

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"the end of {self.log}:", *(f"    {line}" for line in lines)])


def _neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what a shell was told about another stack, or another cluster."""
    return {k: v for k, v in environment.items() if not k.startswith(_TOLD)}


def http_problem(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Why ``url`` does not answer with 200; None if it does."""
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=3):
            return None
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except OSError as error:
        return f"{url}: {error}"
