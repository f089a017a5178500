"""Promoting a version to champion, and rolling back to its predecessor.

A registry sets an alias whatever its former value was. So whoever moves the champion holds a
lock, which is stored in the registry itself: a registered model with the name ``NAME.lock``,
which only one of several concurrent processes can create. The holder compares the current
champion with the expected one, and only then sets the alias.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from rayboot.errors import BusyError, ConflictError, RequestError
from rayboot.registry.runs import (
    absolute_registry_uri,
    has_store,
    make_client,
    open_existing_store,
)

__all__ = [
    "CHAMPION",
    "LOCK_SUFFIX",
    "NOT_PROMOTED",
    "PREVIOUS",
    "Rollback",
    "champion_version",
    "describe_missing_champion",
    "promote",
    "record_refusal",
    "roll_back",
]

CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases of the current champion and of the one before it."""

LOCK_SUFFIX = ".lock"
"""Suffix of the registered model that serves as a lock."""

NOT_PROMOTED = "rayboot.not_promoted"
"""Tag of a version that was not promoted: the reason."""

_MAX_REASON_CHARS = 1000

_REPLACED = "rayboot.replaced"
"""Tag of a champion: the version that was champion before it."""

_EXPIRY_S = 30.0
"""Age at which a lock belongs to a dead process: it is held for a few calls only."""

_TIMEOUT_S = 120.0
_POLL_S, _SETTLE_S = 0.3, 1.0


class Rollback(NamedTuple):
    """A rollback.

    Attributes:
        former: version that was the champion before.
        champion: version that is the champion now.
    """

    former: str
    champion: str


def champion_version(tracking_uri: str, name: str) -> str | None:
    """Returns the version with the alias ``champion``, or None."""
    if not has_store(tracking_uri):
        return None
    return _aliased_version(make_client(tracking_uri), name, CHAMPION)


def promote(tracking_uri: str, name: str, version: str, expected: str | None) -> None:
    """Makes ``version`` the champion; the former one gets the alias ``previous``.

    Args:
        tracking_uri: URI of the MLflow store.
        name: name of the registered model.
        version: version to promote; nothing happens if it is the champion already.
        expected: the champion that it was compared with, None if there was none.

    Raises:
        ConflictError: another version has become the champion.
        BusyError: other processes hold the lock for minutes.
    """
    client = make_client(tracking_uri)
    with _champion_lock(client, name) as require_lock:
        current = _aliased_version(client, name, CHAMPION)
        if current == version:
            return
        if current != expected:
            raise ConflictError(
                f"{name}: the champion is now {_describe(current)}, but version {version} was "
                f"compared with {_describe(expected)}; run the round again, with "
                f"models:/{name}@champion as its model, in a new output"
            )
        require_lock()
        if current is not None:
            client.set_model_version_tag(name, version, _REPLACED, current)
            client.set_registered_model_alias(name, PREVIOUS, current)
        client.set_registered_model_alias(name, CHAMPION, version)


def record_refusal(tracking_uri: str, name: str, version: str, reason: str) -> None:
    """Records with a version why it was not promoted, for whoever looks for the champion."""
    client = make_client(tracking_uri)
    client.set_model_version_tag(name, version, NOT_PROMOTED, reason[:_MAX_REASON_CHARS])


def describe_missing_champion(client: MlflowClient, name: str) -> str | None:
    """Says why a registered model has no champion; None where there is no such model."""
    try:
        versions = client.search_model_versions(f"name='{name}'")
    except MlflowException:
        return None
    if not versions:
        return None
    last = max(versions, key=lambda version: int(version.version))
    reason = last.tags.get(NOT_PROMOTED)
    why = f" ({reason})" if reason else ""
    return (
        f"no champion yet: version {last.version} was not promoted{why}; name "
        f"models:/{name}/{last.version} to use it nevertheless"
    )


def roll_back(tracking_uri: str, name: str) -> Rollback:
    """Makes the champion's predecessor the champion again.

    Raises:
        RequestError: there is no store, there is no champion, or it had no predecessor.
        BusyError: other processes hold the lock for minutes.
    """
    client = open_existing_store(tracking_uri)
    with _champion_lock(client, name) as require_lock:
        current = _aliased_version(client, name, CHAMPION)
        if current is None:
            if (why := describe_missing_champion(client, name)) is not None:
                raise RequestError(f"{name}: {why}")
            raise RequestError(
                f"{name}: has no champion in {absolute_registry_uri(tracking_uri)}; set "
                "MLFLOW_TRACKING_URI, or MLFLOW_REGISTRY_URI, to the store that has it"
            )
        predecessor = _replaced_version(client, name, current)
        if predecessor is None:
            raise RequestError(
                f"{name}: version {current} is the first champion, so there is no predecessor"
            )
        require_lock()
        client.set_registered_model_alias(name, CHAMPION, predecessor)
        earlier = _replaced_version(client, name, predecessor)
        if earlier is None:
            client.delete_registered_model_alias(name, PREVIOUS)
        else:
            client.set_registered_model_alias(name, PREVIOUS, earlier)
    return Rollback(current, predecessor)


def _aliased_version(client: MlflowClient, name: str, alias: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        # Only these codes mean that there is no champion; an unavailable registry has others.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _replaced_version(client: MlflowClient, name: str, version: str) -> str | None:
    replaced: str | None = client.get_model_version(name, version).tags.get(_REPLACED)
    return replaced


def _describe(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


@contextmanager
def _champion_lock(
    client: MlflowClient, name: str, expiry_s: float = _EXPIRY_S, timeout_s: float = _TIMEOUT_S
) -> Iterator[Callable[[], None]]:
    """Holds the lock of a registered model; yields a check that it is still held."""
    lock, token = name + LOCK_SUFFIX, uuid.uuid4().hex
    _acquire(client, lock, token, expiry_s, timeout_s)

    def require_lock() -> None:
        if _holder(client, lock) != token:
            raise BusyError(
                f"{name}: another process took over the lock, because this one held it for too "
                "long; run it again"
            )

    try:
        yield require_lock
    finally:
        if _holder(client, lock) == token:
            client.delete_registered_model(lock)


def _acquire(
    client: MlflowClient, lock: str, token: str, expiry_s: float, timeout_s: float
) -> None:
    last_holder, since, started = None, time.monotonic(), time.monotonic()
    took_over = False
    while not _create(client, lock, token):
        holder = _holder(client, lock)
        if holder != last_holder:
            last_holder, since = holder, time.monotonic()
        if holder is not None and time.monotonic() - since > expiry_s:
            _remove(client, lock)
            took_over = True
            continue
        if time.monotonic() - started > timeout_s:
            raise BusyError(
                f"{lock}: other processes have held this lock for {timeout_s:.0f} s; run it again, "
                "or delete that registered model if no run is alive"
            )
        time.sleep(_POLL_S)
    if took_over:
        # Another process may have found the same expired lock, and removed this one in its place.
        time.sleep(_SETTLE_S)
        if _holder(client, lock) != token:
            raise BusyError(f"{lock}: another process took it at the same moment; run it again")


def _create(client: MlflowClient, lock: str, token: str) -> bool:
    try:
        client.create_registered_model(lock, tags={"token": token}, description="A lock; see docs.")
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return False
        raise
    return True


def _holder(client: MlflowClient, lock: str) -> str | None:
    """Returns the token of the lock's holder, or None if nobody holds it."""
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
