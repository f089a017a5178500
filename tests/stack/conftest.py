"""The local stack, started by its command in a process of its own, as by a user."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST_PORT = 22500
START_WITHIN_S, END_WITHIN_S = 240.0, 90.0


class StackCommand:
    """``python -m infra.stack`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [
            *(sys.executable, "-m", "infra.stack", "--folder", str(folder)),
            *("--first-port", str(FIRST_PORT), "--store-mb", "200"),
        ]
        self._out = folder.parent / "stack.out"

    def start(self) -> None:
        """Starts the stack; returns when it has printed how to connect to it."""
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=out, stderr=out)
        deadline = time.monotonic() + START_WITHIN_S
        while "Ctrl-C ends the stack." not in self.output():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the stack did not start:\n{self.output()}")
            time.sleep(0.5)

    def output(self) -> str:
        """Returns everything that the stack has printed."""
        return self._out.read_text()

    def exports(self) -> dict[str, str]:
        """Returns the variables of a shell that has executed the printed `export` lines."""
        lines = [line for line in self.output().splitlines() if line.startswith("export ")]
        script = "\n".join([*lines, "env -0"])
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/bin"}
        )
        names = [line.split("=")[0].removeprefix("export ") for line in lines]
        shell = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
        return {name: shell[name] for name in names}

    def address(self, name: str) -> str:
        """Returns the printed address of the service ``name``."""
        (line,) = [line for line in self.output().splitlines() if line.startswith(f"{name} ")]
        return line.split()[1]

    def interrupt(self) -> int:
        """Sends Ctrl-C and returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_WITHIN_S)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackCommand]:
    command = StackCommand(tmp_path_factory.mktemp("stack") / "stack")
    command.start()
    yield command
    if command.process.poll() is None:
        command.interrupt()


@pytest.fixture(scope="module")
def environment(stack: StackCommand) -> dict[str, str]:
    """Environment of a user's shell."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_", "MLFLOW_"))}
    return {**clean, **stack.exports(), "OMP_NUM_THREADS": "1"}
