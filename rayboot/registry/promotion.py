"""Which version is the champion: moved by one at a time, and put back.

A registry sets an alias whatever it was before. So whoever moves the champion holds a lock,
kept in the registry itself: a registered model by the name of ``NAME.lock``, which of several
that try at once only one can create. Then it compares, and only then it sets.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from rayboot.errors import BusyError, ConflictError, RequestError
from rayboot.registry.runs import make_client

__all__ = [
    "CHAMPION",
    "LOCK_SUFFIX",
    "PREVIOUS",
    "Rollback",
    "champion_version",
    "promote",
    "roll_back",
]

CHAMPION, PREVIOUS = "champion", "previous"

LOCK_SUFFIX = ".lock"

_REPLACED = "rayboot.replaced"
"""Tag of a champion: the version that it took the place of."""

_STALE_S = 30.0
"""A lock is held for a few calls; one that stays for so long is a dead run's."""

_PATIENCE_S = 120.0
_POLL_S, _SETTLE_S = 0.3, 1.0


class Rollback(NamedTuple):
    """Who was the champion, and who is."""

    former: str
    champion: str


def champion_version(tracking_uri: str, name: str) -> str | None:
    """The version that the alias ``champion`` names, or None."""
    return _aliased(make_client(tracking_uri), name, CHAMPION)


def promote(tracking_uri: str, name: str, version: str, expected: str | None) -> None:
    """Makes ``version`` the champion; the former one keeps the alias ``previous``.

    Args:
        tracking_uri: of the registry.
        name: of the registered model.
        version: that is to be the champion; nothing happens if it is already.
        expected: the champion that it was measured against, None for nobody.

    Raises:
        ConflictError: somebody else is the champion by now.
        BusyError: others hold the lock for minutes.
    """
    client = make_client(tracking_uri)
    with _exclusive(client, name) as require_lock:
        now = _aliased(client, name, CHAMPION)
        if now == version:
            return
        if now != expected:
            raise ConflictError(
                f"{name}: the champion is {_named(now)} by now, and version {version} was measured "
                f"against {_named(expected)}; run the round again, with models:/{name}@champion "
                "as its model, in a new output"
            )
        require_lock()
        if now is not None:
            client.set_model_version_tag(name, version, _REPLACED, now)
            client.set_registered_model_alias(name, PREVIOUS, now)
        client.set_registered_model_alias(name, CHAMPION, version)


def roll_back(tracking_uri: str, name: str) -> Rollback:
    """Makes the champion's predecessor the champion again.

    Raises:
        RequestError: there is no champion, or it had no predecessor.
        BusyError: others hold the lock for minutes.
    """
    client = make_client(tracking_uri)
    with _exclusive(client, name) as require_lock:
        now = _aliased(client, name, CHAMPION)
        if now is None:
            raise RequestError(
                f"{name}: has no champion in {tracking_uri}; set MLFLOW_TRACKING_URI to the store "
                "that has it"
            )
        before = _replaced(client, name, now)
        if before is None:
            raise RequestError(f"{name}: version {now} is the first champion, none came before it")
        require_lock()
        client.set_registered_model_alias(name, CHAMPION, before)
        further = _replaced(client, name, before)
        if further is None:
            client.delete_registered_model_alias(name, PREVIOUS)
        else:
            client.set_registered_model_alias(name, PREVIOUS, further)
    return Rollback(now, before)


def _aliased(client: MlflowClient, name: str, alias: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        # A registry that is away must not look like one that has no champion.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _replaced(client: MlflowClient, name: str, version: str) -> str | None:
    found: str | None = client.get_model_version(name, version).tags.get(_REPLACED)
    return found


def _named(version: str | None) -> str:
    return "nobody" if version is None else f"version {version}"


@contextmanager
def _exclusive(
    client: MlflowClient, name: str, stale_s: float = _STALE_S, patience_s: float = _PATIENCE_S
) -> Iterator[Callable[[], None]]:
    """Holds the lock of a registered model; yields a check that it is still held."""
    lock, token = name + LOCK_SUFFIX, uuid.uuid4().hex
    _acquire(client, lock, token, stale_s, patience_s)

    def require_lock() -> None:
        if _holder(client, lock) != token:
            raise BusyError(f"{name}: the lock was taken over, this run was too slow; run it again")

    try:
        yield require_lock
    finally:
        if _holder(client, lock) == token:
            client.delete_registered_model(lock)


def _acquire(
    client: MlflowClient, lock: str, token: str, stale_s: float, patience_s: float
) -> None:
    seen, since, started = None, time.monotonic(), time.monotonic()
    took_over = False
    while not _create(client, lock, token):
        holder = _holder(client, lock)
        if holder != seen:
            seen, since = holder, time.monotonic()
        if holder is not None and time.monotonic() - since > stale_s:
            _remove(client, lock)
            took_over = True
            continue
        if time.monotonic() - started > patience_s:
            raise BusyError(
                f"{lock}: others move the champion for {patience_s:.0f} s already; run it again, "
                "or delete that registered model if no run is alive"
            )
        time.sleep(_POLL_S)
    if took_over:
        # Another run may have found the same dead one, and removed what it took for its lock.
        time.sleep(_SETTLE_S)
        if _holder(client, lock) != token:
            raise BusyError(f"{lock}: another run took it at the same moment; run it again")


def _create(client: MlflowClient, lock: str, token: str) -> bool:
    try:
        client.create_registered_model(lock, tags={"token": token}, description="A lock; see docs.")
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return False
        raise
    return True


def _holder(client: MlflowClient, lock: str) -> str | None:
    try:
        token: str | None = client.get_registered_model(lock).tags.get("token")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return token


def _remove(client: MlflowClient, lock: str) -> None:
    try:
        client.delete_registered_model(lock)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
