"""A lease on an output: one run at a time writes to it, on local disks and object stores alike.

The holder keeps a small file next to its data and rewrites it as a heartbeat. A second
run that finds the file waits until the lease expires, or fails if a heartbeat follows.
A lease is expired when its holder ran on this machine and its process has ended, or
when no heartbeat was seen for a while.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rayboot.errors import BusyError
from rayboot.io.paths import has_protocol
from rayboot.io.storage import create_bytes, read_bytes, remove, write_bytes

__all__ = ["hold_lease", "honours_conditions"]

_LOG = logging.getLogger(__name__)

_HEARTBEAT_S = 10.0
_EXPIRY_S = 45.0
"""Time without a heartbeat after which a lease is expired."""

_POLL_S, _SETTLE_S = 1.0, 2.0


class _Holder(NamedTuple):
    """The holder of a lease, as the lease file describes it.

    Attributes:
        token: fencing token, unique to each acquisition: a run whose token is not the
            stored one has lost the lease, and must not remove the file.
        host: name and boot id of the machine.
        process: process id.
        num_heartbeats: number of heartbeats since the acquisition.
    """

    token: str
    host: str
    process: int
    num_heartbeats: int

    @classmethod
    def this_process(cls) -> "_Holder":
        return cls(uuid.uuid4().hex, _host(), os.getpid(), 0)

    @classmethod
    def from_json(cls, payload: bytes) -> "_Holder":
        stored = json.loads(payload)
        return cls(stored["token"], stored["host"], stored["process"], stored["beat"])

    def to_json(self) -> bytes:
        # The keys are those of version 0.1, whose runs must understand the file as well.
        stored = {
            "token": self.token,
            "host": self.host,
            "process": self.process,
            "beat": self.num_heartbeats,
        }
        return json.dumps(stored).encode()

    def has_ended(self) -> bool:
        """Whether the holder ran on this machine and its process has ended."""
        if self.host != _host():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _host() -> str:
    # Containers share names and process ids; the boot id changes when the machine restarts.
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return f"{socket.gethostname()}/{boot_id}"


@contextmanager
def hold_lease(
    uri: str, expiry_s: float = _EXPIRY_S, heartbeat_s: float = _HEARTBEAT_S
) -> Iterator[None]:
    """Holds a lease within a ``with`` block.

    Args:
        uri: URI of the lease file.
        expiry_s: time without a heartbeat of its holder after which a lease is expired.
        heartbeat_s: interval of the heartbeats of this run.

    Raises:
        BusyError: another run holds the lease.
    """
    holder = _Holder.this_process()
    _acquire(uri, holder, expiry_s)
    done = threading.Event()
    thread = threading.Thread(
        target=_send_heartbeats, args=(uri, holder, done, heartbeat_s), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _release(uri, holder)


def honours_conditions(uri: str) -> bool:
    """Whether the store refuses to create a file twice, on which leases rest.

    Args:
        uri: URI of a file that does not exist; it is created and removed.
    """
    create_bytes(uri, b"")
    try:
        return not create_bytes(uri, b"")
    finally:
        remove(uri)


def _release(uri: str, holder: _Holder) -> None:
    try:
        stored = _read_holder(uri)
        if stored is not None and stored.token == holder.token:
            remove(uri)
    except Exception as error:  # stores raise classes of their own, not only OSError
        # This must not replace the error of the run; without heartbeats the lease expires soon.
        _LOG.warning("%s: the lease could not be released (%s); it expires by itself", uri, error)


def _acquire(uri: str, holder: _Holder, expiry_s: float) -> None:
    observed: _Holder | None = None
    start = time.monotonic()
    # A store that ignores conditions would replace the lease of another run: it is looked for.
    while _read_holder(uri) is not None or not create_bytes(uri, holder.to_json()):
        stored = _read_holder(uri)
        if stored is None:  # released since create_bytes failed
            continue
        if observed is not None and stored != observed:
            raise _busy_error(uri, stored)
        observed = stored
        if stored.has_ended() or time.monotonic() - start > expiry_s:
            remove(uri)
            continue
        time.sleep(_POLL_S)
    is_exclusive = not has_protocol(uri) or not create_bytes(uri, holder.to_json())
    if not is_exclusive:
        _LOG.warning(
            "%s: the store ignores conditional writes, so that of two runs which start at the same "
            "moment both may write to this output; start one at a time", uri,
        )  # fmt: skip
    if observed is None and is_exclusive:
        return
    # Another run may have found the same expired lease, and removed our file in its place.
    time.sleep(_SETTLE_S)
    stored = _read_holder(uri)
    if stored is None or stored.token != holder.token:
        raise _busy_error(uri, stored)


def _busy_error(uri: str, holder: _Holder | None) -> BusyError:
    name = f"process {holder.process} on {holder.host.split('/')[0]}" if holder else "unknown"
    return BusyError(
        f"{uri}: another run ({name}) holds the lease of this output; wait until it ends, or "
        "choose another output"
    )


def _read_holder(uri: str) -> _Holder | None:
    try:
        return _Holder.from_json(read_bytes(uri))
    except FileNotFoundError:
        return None


def _send_heartbeats(uri: str, holder: _Holder, done: threading.Event, heartbeat_s: float) -> None:
    while not done.wait(heartbeat_s):
        holder = holder._replace(num_heartbeats=holder.num_heartbeats + 1)
        try:
            write_bytes(uri, holder.to_json())
        except Exception as error:  # the store may be unavailable; the next heartbeat tries again
            _LOG.debug("%s: heartbeat %d failed (%s)", uri, holder.num_heartbeats, error)
