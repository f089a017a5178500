"""One run at a time on one output, on local disks and object stores alike.

A run keeps a small file beside its data, and touches it as long as it lives. A
second run finds it and waits or refuses. What a killed run left is told from a
living one by its process, on the same machine, or by its being touched no more.
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
from typing import NamedTuple

from rayboot.errors import BusyError
from rayboot.io.storage import create_bytes, read_bytes, remove, write_bytes

__all__ = ["hold_lease"]

_LOG = logging.getLogger(__name__)

_BEAT_S = 10.0
_STALE_S = 45.0
"""A lock that nobody touched for so long is a dead run's."""

_POLL_S, _SETTLE_S = 1.0, 2.0


class _Owner(NamedTuple):
    token: str
    host: str
    process: int
    beat: int

    @classmethod
    def here(cls) -> "_Owner":
        return cls(uuid.uuid4().hex, _host(), os.getpid(), 0)

    def payload(self) -> bytes:
        return json.dumps(self._asdict()).encode()

    def is_dead(self) -> bool:
        """Whether it ran on this machine and does no more."""
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
    # Containers share names and process numbers; a restart of the machine changes this.
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


@contextmanager
def hold_lease(uri: str, stale_s: float = _STALE_S, beat_s: float = _BEAT_S) -> Iterator[None]:
    """Holds the file ``uri`` for the time of a ``with`` block.

    Args:
        uri: of the lock's file.
        stale_s: how long a foreign run may be silent before it counts as dead.
        beat_s: how often this run says that it lives.

    Raises:
        BusyError: another run holds it and lives.
    """
    owner = _Owner.here()
    _acquire(uri, owner, stale_s)
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(uri, owner, done, beat_s), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _release(uri, owner)


def _release(uri: str, owner: _Owner) -> None:
    try:
        holder = _holder(uri)
        if holder is not None and holder.token == owner.token:
            remove(uri)
    except Exception as error:  # stores have errors of their own, which are no OSError
        # Not what the run ends with: untouched, the lock counts as a dead run's before long.
        _LOG.warning("%s could not be removed (%s)", uri, error)


def _acquire(uri: str, owner: _Owner, stale_s: float) -> None:
    seen: _Owner | None = None
    since = time.monotonic()
    while not create_bytes(uri, owner.payload()):
        holder = _holder(uri)
        if holder is None:  # given back in between
            continue
        if seen is not None and holder != seen:
            raise _busy(uri, holder)
        seen = holder
        if holder.is_dead() or time.monotonic() - since > stale_s:
            remove(uri)
            continue
        time.sleep(_POLL_S)
    if seen is None:
        return
    # Another run may have found the same dead one, and removed what it took for its lock.
    time.sleep(_SETTLE_S)
    holder = _holder(uri)
    if holder is None or holder.token != owner.token:
        raise _busy(uri, holder)


def _busy(uri: str, holder: _Owner | None) -> BusyError:
    who = f"process {holder.process} on {holder.host.split('/')[0]}" if holder else "unknown"
    return BusyError(
        f"{uri}: another run ({who}) writes there; wait until it ends, or choose another output"
    )


def _holder(uri: str) -> _Owner | None:
    try:
        return _Owner(**json.loads(read_bytes(uri)))
    except FileNotFoundError:
        return None


def _beat(uri: str, owner: _Owner, done: threading.Event, beat_s: float) -> None:
    while not done.wait(beat_s):
        owner = owner._replace(beat=owner.beat + 1)
        try:
            write_bytes(uri, owner.payload())
        except Exception:  # the store may be gone for a while; the next beat tries again
            continue
