"""A stage in a process of its own, so that a photo that crashes it costs itself alone.

Decoders and renderers are native code: on a rare photo they end the whole process,
or never return. In an actor's process the batch would die with it, be tried again
and die again. Here the child dies; its batch is tried again photo by photo, and the
one that ends the child once more becomes a reject.
"""

import logging
import pickle
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

import pyarrow as pa

from rayboot.logs import adopt_inherited

__all__ = ["Rejecting", "Stage", "SubprocessSpec", "SubprocessStage"]

_LOG = logging.getLogger(__name__)

_START_S = 300.0
"""For imports and the stage's constructor, on a machine that starts many at once."""

Stage = Callable[[pa.Table], pa.Table]
"""A batch to a batch of as many rows."""

Rejecting = Callable[[pa.Table, str, str], pa.Table]
"""A table of one row, the reason and a sentence to the row's reject."""


class SubprocessSpec(NamedTuple):
    """How to run a stage in a process of its own.

    Attributes:
        payload: the stage's maker and its rejecting, pickled: whoever passes it on need not
            import what they import.
        photo_timeout_s: that the stage may take; a batch has as many times that as it has rows.
    """

    payload: bytes
    photo_timeout_s: float

    @classmethod
    def of(
        cls, make: Callable[[], Stage], reject: Rejecting, photo_timeout_s: float
    ) -> "SubprocessSpec":
        """Of a stage.

        Args:
            make: makes it; a class or a partial of one, importable by name.
            reject: makes the row of a photo that cannot be processed; the reason is
                ``crashed`` or ``timed-out``.
            photo_timeout_s: that the stage may take.
        """
        return cls(pickle.dumps((make, reject)), photo_timeout_s)

    def create_stage(self) -> Stage:
        """The stage itself, for a caller that runs it in its own process."""
        make, _ = pickle.loads(self.payload)  # noqa: S301 - pickled by `of` in this run
        stage: Stage = make()
        return stage


class SubprocessStage:
    """Runs the batches of a stage in a child process.

    Args:
        isolation: how.
        name: of the stage, for log lines.
    """

    def __init__(self, isolation: SubprocessSpec, name: str = "") -> None:
        self._isolation, self._name = isolation, name
        self._child: _Child | None = None
        self._cpu_s = 0.0

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch; rows come back in their order."""
        try:
            return self._run(table)
        except _ChildLostError as error:
            ids = table["face_id"].to_pylist()
            _LOG.warning(
                "stage %s: %s; its %d photos are tried again one by one",
                self._name, error, len(ids),
                extra={"stage": self._name, "reason": error.reason, "face_ids": ids},
            )  # fmt: skip
            parts = [self._run_alone(table.slice(index, 1)) for index in range(len(table))]
            return pa.concat_tables(parts)

    def cpu_s(self) -> float:
        """Processor time of batches in children so far; starts and lost ones do not count."""
        return self._cpu_s

    def _run_alone(self, photo: pa.Table) -> pa.Table:
        try:
            return self._run(photo)
        except _ChildLostError as error:
            why = (error.reason, str(error))
            (face_id,) = photo["face_id"].to_pylist()
            _LOG.warning(
                "%s is rejected by stage %s: %s: %s", face_id, self._name, *why,
                extra={"face_id": face_id, "stage": self._name, "reason": error.reason},
            )  # fmt: skip
        return self._answer(_Request(_to_bytes(photo), why), _START_S)

    def _run(self, table: pa.Table) -> pa.Table:
        timeout_s = self._isolation.photo_timeout_s * len(table)
        return self._answer(_Request(_to_bytes(table)), timeout_s)

    def _answer(self, request: "_Request", timeout_s: float) -> pa.Table:
        if self._child is None:
            self._child = _Child(self._isolation.payload)
        try:
            answer = self._child.ask(request, timeout_s)
        except _ChildLostError:
            self._child = None
            raise
        self._cpu_s += answer.cpu_s
        return pa.ipc.open_stream(answer.payload).read_all()


class _Request(NamedTuple):
    """A stage to make, first; then tables to run it on, or, with a reason, to reject."""

    payload: bytes
    why: tuple[str, str] | None = None


class _Answer(NamedTuple):
    payload: bytes | Exception
    cpu_s: float = 0.0


class _ChildLostError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Child:
    """A process that holds a stage."""

    def __init__(self, payload: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self._pipe = Connection(ours.detach())
        self._pipe.send(sys.path)
        self.ask(_Request(payload), _START_S)

    def ask(self, request: _Request, timeout_s: float) -> _Answer:
        """Sends a request and waits for its answer."""
        try:
            self._pipe.send(request)
        except OSError:  # it died since the last batch
            raise self._lost("crashed") from None
        try:
            if not self._pipe.poll(timeout_s):
                raise self._lost("timed-out", f"no answer within {timeout_s:.0f} s")
            answer: _Answer = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost("crashed") from None
        if isinstance(answer.payload, Exception):
            raise answer.payload  # a fault of the program stops the run, as it would in the actor
        return answer

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


class _Server:
    """The child's side."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._reject: Rejecting | None = None

    def serve(self, pipe: Connection) -> None:
        """Answers requests until the pipe ends."""
        sys.path[:] = pipe.recv()
        adopt_inherited()
        while True:
            try:
                request: _Request = pipe.recv()
            except (EOFError, OSError):
                return
            started = time.process_time()
            try:
                answer = _Answer(self._do(request))
            except Exception as error:
                answer = _Answer(_portable(error))
            pipe.send(answer._replace(cpu_s=time.process_time() - started))

    def _do(self, request: _Request) -> bytes:
        if self._stage is None or self._reject is None:
            make, self._reject = pickle.loads(request.payload)
            self._stage = make()
            return b""
        table = pa.ipc.open_stream(request.payload).read_all()
        made = self._reject(table, *request.why) if request.why else self._stage(table)
        return _to_bytes(made)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or another that says the same."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its class may do anything when it is rebuilt
        return RuntimeError(traceback.format_exc())
    return error


if __name__ == "__main__":
    # As a module of its own name: what comes through the pipe is pickled by that name.
    from rayboot.pipeline import isolation

    isolation._Server().serve(Connection(int(sys.argv[1])))
