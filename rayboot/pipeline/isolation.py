"""Stages in a subprocess, so that a photo that crashes the process costs no other photo.

Decoders and renderers are native code: on a rare photo they end the whole process, or never
return. In the process of an actor the whole batch would be lost, be retried and crash again.
Here only the child process ends; its batch is retried photo by photo, and a photo that ends
the child once more becomes a reject.
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

__all__ = ["RejectPhoto", "Stage", "SubprocessSpec", "SubprocessStage"]

_LOG = logging.getLogger(__name__)

_START_TIMEOUT_S = 300.0
"""Time for imports and the stage's constructor, on a machine that starts many at once."""

Stage = Callable[[pa.Table], pa.Table]
"""Maps a batch to a batch of as many rows."""

RejectPhoto = Callable[[pa.Table, str, str], pa.Table]
"""Maps a table of one row, a reason and a message to the reject of that row."""


class SubprocessSpec(NamedTuple):
    """Describes a stage that runs in a process of its own.

    Attributes:
        payload: the pickled factory of the stage and its :data:`RejectPhoto`; pickled, so that
            a process that passes them on need not import their modules.
        photo_timeout_s: time limit for one photo; the limit for a batch is this times its
            number of rows.
    """

    payload: bytes
    photo_timeout_s: float

    @classmethod
    def create(
        cls, make_stage: Callable[[], Stage], reject: RejectPhoto, photo_timeout_s: float
    ) -> "SubprocessSpec":
        """Creates the specification of a stage.

        Args:
            make_stage: returns the stage; a class or a partial of one, importable by name.
            reject: returns the row of a photo that cannot be processed; the reason is
                ``crashed`` or ``timed-out``.
            photo_timeout_s: time limit for one photo.
        """
        return cls(pickle.dumps((make_stage, reject)), photo_timeout_s)

    def create_stage(self) -> Stage:
        """Creates the stage itself, for a caller that runs it in its own process."""
        make_stage, _ = pickle.loads(self.payload)  # noqa: S301 - pickled by `create` in this run
        stage: Stage = make_stage()
        return stage


class SubprocessStage:
    """Runs the batches of a stage in a child process.

    Args:
        spec: the stage and its time limit.
        name: name of the stage, for log lines.
    """

    def __init__(self, spec: SubprocessSpec, name: str = "") -> None:
        self._spec, self._name = spec, name
        self._child: _ChildProcess | None = None
        self._cpu_s = 0.0

    def __call__(self, table: pa.Table) -> pa.Table:
        """Runs the stage on one batch; the rows keep their order."""
        try:
            return self._run(table)
        except _ChildLostError as error:
            ids = table["face_id"].to_pylist()
            _LOG.warning(
                "stage %s: %s; its %d photos are retried one by one",
                self._name, error, len(ids),
                extra={"stage": self._name, "reason": error.reason, "face_ids": ids},
            )  # fmt: skip
            parts = [self._run_or_reject(table.slice(index, 1)) for index in range(len(table))]
            return pa.concat_tables(parts)

    def start(self) -> None:
        """Starts the child process, which otherwise starts with the first batch; does not wait."""
        self._child = self._child or _ChildProcess(self._spec.payload)

    def cpu_s(self) -> float:
        """Returns the processor time that child processes spent on batches.

        The start of a child, and batches that were lost with one, are not included.
        """
        return self._cpu_s

    def _run_or_reject(self, photo: pa.Table) -> pa.Table:
        try:
            return self._run(photo)
        except _ChildLostError as error:
            rejection = (error.reason, str(error))
            (face_id,) = photo["face_id"].to_pylist()
            _LOG.warning(
                "%s is rejected by stage %s: %s: %s", face_id, self._name, *rejection,
                extra={"face_id": face_id, "stage": self._name, "reason": error.reason},
            )  # fmt: skip
        return self._request(_Request(_to_bytes(photo), rejection), _START_TIMEOUT_S)

    def _run(self, table: pa.Table) -> pa.Table:
        timeout_s = self._spec.photo_timeout_s * len(table)
        return self._request(_Request(_to_bytes(table)), timeout_s)

    def _request(self, request: "_Request", timeout_s: float) -> pa.Table:
        if self._child is None:
            self._child = _ChildProcess(self._spec.payload)
        try:
            response = self._child.request(request, timeout_s)
        except _ChildLostError:
            self._child = None
            raise
        self._cpu_s += response.cpu_s
        return pa.ipc.open_stream(response.payload).read_all()


class _Request(NamedTuple):
    """A message to the child process.

    Attributes:
        payload: that of :class:`SubprocessSpec` in the first request, a serialized table in
            every later one.
        rejection: reason and message if the photo of the table is to be rejected; None to run
            the stage on the table.
    """

    payload: bytes
    rejection: tuple[str, str] | None = None


class _Response(NamedTuple):
    payload: bytes | Exception
    cpu_s: float = 0.0


class _ChildLostError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _ChildProcess:
    """A process that holds a stage, seen from its parent."""

    def __init__(self, payload: bytes) -> None:
        parent_end, child_end = socket.socketpair()
        with child_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(child_end.fileno())],
                pass_fds=[child_end.fileno()],
            )
        self._pipe = Connection(parent_end.detach())
        # Its imports and the stage's constructor take a while, for which nobody waits here.
        self._is_ready = False
        self._send(sys.path)
        self._send(_Request(payload))

    def request(self, request: _Request, timeout_s: float) -> _Response:
        """Sends a request and waits for the response.

        Raises:
            _ChildLostError: the process ended, or did not respond within ``timeout_s``.
        """
        if not self._is_ready:
            self._receive(_START_TIMEOUT_S)
            self._is_ready = True
        self._send(request)
        return self._receive(timeout_s)

    def _send(self, message: object) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # the process ended after the previous batch
            raise self._close("crashed") from None

    def _receive(self, timeout_s: float) -> _Response:
        try:
            if not self._pipe.poll(timeout_s):
                raise self._close("timed-out", f"no response within {timeout_s:.0f} s")
            response: _Response = self._pipe.recv()
        except (EOFError, OSError):
            raise self._close("crashed") from None
        if isinstance(response.payload, Exception):
            # A fault of the program stops the run, as it would in the process of the actor.
            raise response.payload
        return response

    def _close(self, reason: str, message: str = "") -> _ChildLostError:
        """Ends a process that is lost, and returns the error to raise."""
        self._pipe.close()
        if reason == "timed-out":
            self._process.kill()
        code = self._process.wait()
        return _ChildLostError(reason, message or f"the subprocess ended with exit code {code}")

    def __del__(self) -> None:
        # The child ends when its pipe does; without wait() it would remain as a zombie.
        if not self._pipe.closed:
            self._pipe.close()
            self._process.wait()


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


class _Server:
    """Answers requests in the child process."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._reject: RejectPhoto | None = None

    def serve(self, pipe: Connection) -> None:
        """Answers requests until the parent closes the pipe."""
        sys.path[:] = pipe.recv()
        adopt_inherited()
        while True:
            try:
                request: _Request = pipe.recv()
            except (EOFError, OSError):
                return
            started = time.process_time()
            try:
                response = _Response(self._handle(request))
            except Exception as error:
                response = _Response(_make_picklable(error))
            pipe.send(response._replace(cpu_s=time.process_time() - started))

    def _handle(self, request: _Request) -> bytes:
        if self._stage is None or self._reject is None:
            # The parent process pickled it: the pipe is inherited, nobody else can write to it.
            make_stage, self._reject = pickle.loads(request.payload)  # noqa: S301
            self._stage = make_stage()
            return b""
        table = pa.ipc.open_stream(request.payload).read_all()
        if request.rejection:
            return _to_bytes(self._reject(table, *request.rejection))
        return _to_bytes(self._stage(table))


def _make_picklable(error: Exception) -> Exception:
    """Returns the error with its traceback as a note, or a RuntimeError with the same text."""
    error.add_note(traceback.format_exc())
    try:
        # Whether the error survives pickling shows only when it is unpickled; it is our own.
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # the error's class may raise anything when it is unpickled
        return RuntimeError(traceback.format_exc())
    return error


if __name__ == "__main__":
    # Imported under its own name, since that is the name that pickled requests refer to.
    from rayboot.pipeline import isolation

    isolation._Server().serve(Connection(int(sys.argv[1])))
