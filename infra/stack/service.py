"""A process of the stack: how it is started, when it is ready, and how it is stopped."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from infra.stack.errors import StackError
from infra.stack.layout import StackLayout
from infra.stack.leftovers import STACK_VARIABLE

__all__ = ["Service", "find_http_problem"]

_NUM_TAIL_LINES = 25
_POLL_S = 0.3
_CLUSTER_PREFIXES = ("RAY_", "AWS_", "MLFLOW_")
"""Prefixes of environment variables that refer to another stack or cluster."""


class Service(ABC):
    """One process with its children, in its own process group.

    A subclass defines the command and the check that the service is ready.

    Args:
        layout: layout of the stack.
    """

    name: str
    ready_timeout_s: ClassVar[float] = 240.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 15.0
    """Time after the stop signal until the process is killed."""
    num_restarts: ClassVar[int] = 0
    """Number of restarts if the process ends before it is ready."""

    def __init__(self, layout: StackLayout) -> None:
        self.layout = layout
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Returns the command to run; may create files that it needs."""

    @abstractmethod
    def find_problem(self) -> str | None:
        """Returns why the service is not ready; None if it is ready."""

    def environment(self) -> Mapping[str, str]:
        """Returns environment variables in addition to those of the stack itself."""
        return {}

    def user(self) -> str | None:
        """Returns the user to run as; None for the user who runs the stack."""
        return None

    @property
    def log(self) -> Path:
        """File with the output of the process."""
        return self.layout.log(self.name)

    def start(self) -> None:
        """Starts the process without waiting for it."""
        command = self.command()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.layout.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **_without_cluster_variables(os.environ),
                    **self.environment(),
                    STACK_VARIABLE: str(self.layout.folder),
                },
                # Ctrl-C goes to the stack, which then stops its services in order.
                start_new_session=True,
                user=self.user(),
            )

    def wait(self) -> None:
        """Returns when the service is ready.

        Raises:
            StackError: the process ended, or is not ready within ``ready_timeout_s``.
        """
        deadline, restarts_left = time.monotonic() + self.ready_timeout_s, self.num_restarts
        while (problem := self.find_problem()) is not None:
            if (status := self.exit_status()) is not None:
                if restarts_left == 0:
                    raise StackError(f"{self.name} ended with status {status}; {self._log_tail()}")
                restarts_left -= 1
                self.stop()
                self.start()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} is not ready after {self.ready_timeout_s:.0f} s: {problem}; "
                    f"{self._log_tail()}"
                )
            time.sleep(_POLL_S)

    @property
    def pid(self) -> int | None:
        """Process id; None before the start and after the stop."""
        return None if self._process is None else self._process.pid

    def exit_status(self) -> int | None:
        """Returns the exit status of a process that ended by itself; None otherwise."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Stops the process and its children; it does nothing if the service was not started."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.stop_signal)
            try:
                process.wait(self.stop_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # Children that outlived the process are killed; the group id is theirs until they end.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._process = None

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_NUM_TAIL_LINES:]
        return "\n".join([f"the last lines of {self.log}:", *(f"    {line}" for line in lines)])


def _without_cluster_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that do not refer to another stack or cluster."""
    return {k: v for k, v in environment.items() if not k.startswith(_CLUSTER_PREFIXES)}


def find_http_problem(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Returns why ``url`` does not respond with 200; None if it does."""
    try:
        # Services pass http:// addresses of this machine only.
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310
        with urllib.request.urlopen(request, timeout=3):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return f"{url} responds with status {error.code}"
    except OSError as error:
        return f"{url}: {error}"
