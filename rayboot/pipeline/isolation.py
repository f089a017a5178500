"""A stage in a process of its own, so that a photo that crashes it costs itself alone.

Decoders and renderers are native code: on a rare photo they end the whole process,
or never return. In an actor's process the batch would die with it, be tried again
and die again. Here the child dies; its batch is tried again photo by photo, and the
one that ends the child once more becomes a reject.
"""

import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

__all__ = ["Isolated", "Rejecting", "Stage"]

_START_S = 300.0
"""For imports and the stage's constructor, on a machine that starts many at once."""

Stage = Callable[[pa.Table], pa.Table]
"""A batch to a batch of as many rows."""

Rejecting = Callable[[pa.Table, str, str], pa.Table]
"""A table of one row, the reason and a sentence to the row's reject."""


class Isolated:
    """Runs the batches of a stage in a child process.

    Args:
        make: the stage's class, or a function that makes it; importable by name.
        arguments: its keyword arguments, picklable.
        reject: makes the row of a photo that cannot be processed; the reason is ``crashed``
            or ``timed-out``.
        seconds_a_photo: that the stage may take; a batch has as many times that as it has rows.
    """

    def __init__(
        self,
        make: Callable[..., Stage],
        arguments: dict[str, Any],
        reject: Rejecting,
        seconds_a_photo: float,
    ) -> None:
        self._make, self._arguments, self._reject = make, arguments, reject
        self._seconds_a_photo = seconds_a_photo
        self._child: _Child | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch; rows come back in their order."""
        try:
            return self._run(table)
        except _ChildLostError:
            parts = [self._run_alone(table.slice(index, 1)) for index in range(len(table))]
            return pa.concat_tables(parts)

    def _run_alone(self, photo: pa.Table) -> pa.Table:
        try:
            return self._run(photo)
        except _ChildLostError as error:
            return self._reject(photo, error.reason, str(error))

    def _run(self, table: pa.Table) -> pa.Table:
        if self._child is None:
            self._child = _Child(self._make, self._arguments)
        try:
            return self._child.run(table, self._seconds_a_photo * len(table))
        except _ChildLostError:
            self._child = None
            raise


class _ChildLostError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Child:
    """A process that holds a stage."""

    def __init__(self, make: Callable[..., Stage], arguments: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self._pipe = Connection(ours.detach())
        self._pipe.send(sys.path)
        self._pipe.send_bytes(pickle.dumps((make, arguments)))
        self._answer(_START_S)

    def run(self, table: pa.Table, timeout_s: float) -> pa.Table:
        """Sends a batch and waits for what the stage makes of it."""
        try:
            self._pipe.send_bytes(_to_bytes(table))
        except OSError:  # it died since the last batch
            raise self._lost("crashed") from None
        return pa.ipc.open_stream(self._answer(timeout_s)).read_all()

    def _answer(self, timeout_s: float) -> bytes:
        try:
            if not self._pipe.poll(timeout_s):
                raise self._lost("timed-out", f"no answer within {timeout_s:.0f} s")
            failed, payload = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost("crashed") from None
        if failed:
            raise payload  # a fault of the program stops the run, as it would in the actor
        return payload

    def _lost(self, reason: str, why: str = "") -> _ChildLostError:
        self._pipe.close()
        if reason == "timed-out":
            self._process.kill()
        code = self._process.wait()
        return _ChildLostError(reason, why or f"the process that worked on it ended with {code}")

    def __del__(self) -> None:
        # The child ends when its pipe does; not waited for, it would stay a zombie.
        if not self._pipe.closed:
            self._pipe.close()
            self._process.wait()


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _serve(pipe: Connection) -> None:
    """The child: a stage, then batches until the pipe ends."""
    sys.path[:] = pipe.recv()
    stage: Stage | None = None
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            if stage is None:
                make, arguments = pickle.loads(message)
                stage = make(**arguments)
                answer: tuple[bool, Any] = (False, b"")
            else:
                answer = (False, _to_bytes(stage(pa.ipc.open_stream(message).read_all())))
        except Exception as error:
            answer = (True, _portable(error))
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or another that says the same."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its class may do anything when it is rebuilt
        return RuntimeError(traceback.format_exc())
    return error


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
