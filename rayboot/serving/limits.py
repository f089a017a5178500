"""Limits of a service: requests at one time, requests per minute, and bytes of a request."""

import time
from collections import OrderedDict

from starlette.types import Receive

from rayboot.serving.problems import Problem
from rayboot.serving.serve_config import ServeConfig

__all__ = ["InFlightLimit", "RateLimit", "read_body"]

_MAX_CLIENTS = 10_000
"""Number of addresses that are remembered; the oldest is forgotten."""

_DRAIN_FACTOR = 4
"""How many times the largest request is read and thrown away before it is refused: a browser that
is still sending does not see the answer."""


class InFlightLimit:
    """Counts the requests in work; used as a context manager around each.

    Args:
        config: ``max_in_flight``.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._limit, self._count = config.max_in_flight, 0

    def __enter__(self) -> None:
        if self._count >= self._limit:
            raise Problem(
                503,
                "service",
                "busy",
                f"{self._limit} photos are in work already; send this one again in a moment",
                retry_after_s=1,
            )
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1


class RateLimit:
    """Limits the requests of each client address: a token bucket that holds one minute's worth.

    Args:
        config: ``requests_per_minute``.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._per_minute = config.requests_per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def require(self, client: str, now: float | None = None) -> None:
        """Counts a request of a client.

        Args:
            client: its address.
            now: seconds of a monotonic clock.

        Raises:
            Problem: status 429.
        """
        if self._per_minute is None:
            return
        now = time.monotonic() if now is None else now
        level, since = self._buckets.pop(client, (float(self._per_minute), now))
        level = min(self._per_minute, level + (now - since) * self._per_minute / 60)
        allowed = level >= 1
        self._buckets[client] = (level - 1 if allowed else level, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = int((1 - level) * 60 / self._per_minute) + 1
            raise Problem(
                429,
                "service",
                "too-many-requests",
                f"{self._per_minute} photos a minute are allowed; wait {wait_s} s",
                retry_after_s=wait_s,
            )


async def read_body(receive: Receive, content_length: str | None, max_bytes: int) -> bytes:
    """Reads the body of a request into memory.

    Args:
        receive: ASGI's function that returns the next message.
        content_length: header of that name.
        max_bytes: largest body.

    Raises:
        Problem: status 413: the body is larger; it has been read, as far as that is sensible.
        ConnectionError: the client went away.
    """
    announced = int(content_length) if content_length and content_length.isdecimal() else 0
    parts: list[bytes] = []
    length, too_large = 0, announced > max_bytes
    more = announced <= _DRAIN_FACTOR * max_bytes
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client went away")
        part = message.get("body", b"")
        length += len(part)
        too_large = too_large or length > max_bytes
        if too_large:
            parts.clear()
        else:
            parts.append(part)
        more = message.get("more_body", False) and length <= _DRAIN_FACTOR * max_bytes
    if too_large:
        raise Problem(
            413,
            "read",
            "too-large",
            f"expected a request of up to {max_bytes / 1e6:g} MB; reduce the photo",
        )
    return b"".join(parts)
