import asyncio
import contextlib
from collections.abc import Iterable

import pytest

from rayboot.serving.limits import InFlightLimit, RateLimit, read_body
from rayboot.serving.problems import Problem
from rayboot.serving.serve_config import ServeConfig


def test_places_are_free_again_after_an_error() -> None:
    limit = InFlightLimit(ServeConfig(max_in_flight=1))
    with contextlib.suppress(KeyError), limit:
        with pytest.raises(Problem) as refused:
            limit.__enter__()
        assert refused.value.status == 503
        raise KeyError
    with limit:
        pass


def test_each_client_has_its_own_rate() -> None:
    limit = RateLimit(ServeConfig(requests_per_minute=60))
    for _ in range(60):
        limit.require("a", now=0.0)
    with pytest.raises(Problem) as refused:
        limit.require("a", now=0.5)
    assert refused.value.status == 429 and refused.value.retry_after_s == 1
    limit.require("b", now=0.5)
    # One a second comes back.
    limit.require("a", now=1.01)
    with pytest.raises(Problem):
        limit.require("a", now=1.02)
    for _ in range(60):
        limit.require("a", now=1000.0)


def test_clients_are_forgotten_before_memory_fills() -> None:
    limit = RateLimit(ServeConfig(requests_per_minute=1))
    for number in range(20_000):
        limit.require(str(number), now=0.0)
    assert len(limit._buckets) == 10_000


def read(parts: Iterable[bytes], length: str | None = None, max_bytes: int = 10) -> bytes:
    messages = iter([*parts])
    count = len([*parts])
    sent = 0

    async def receive() -> dict[str, object]:
        nonlocal sent
        sent += 1
        if sent > count:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": next(messages), "more_body": sent < count}

    return asyncio.run(read_body(receive, length, max_bytes))


def test_a_body_is_put_together() -> None:
    assert read([b"01234", b"56789"], "10") == b"0123456789"
    assert read([b""], None) == b""


@pytest.mark.parametrize("length", [None, "3", "11", "many"])
def test_a_body_that_is_too_large_is_refused(length: str | None) -> None:
    with pytest.raises(Problem) as refused:
        read([b"01234", b"567890"], length)
    assert refused.value.status == 413


def test_a_body_that_is_far_too_large_is_not_read() -> None:
    async def receive() -> dict[str, object]:
        pytest.fail("the body is read")

    with pytest.raises(Problem) as refused:
        asyncio.run(read_body(receive, "1000000", 10))
    assert refused.value.status == 413


def test_reading_stops_when_a_body_of_unknown_length_does_not_end() -> None:
    num_read = 0

    async def receive() -> dict[str, object]:
        nonlocal num_read
        num_read += 1
        return {"type": "http.request", "body": bytes(10), "more_body": True}

    with pytest.raises(Problem):
        asyncio.run(read_body(receive, None, 10))
    assert num_read == 5


def test_a_client_that_goes_away_ends_the_request() -> None:
    messages = iter(
        [{"type": "http.request", "body": b"0", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, object]:
        return next(messages)

    with pytest.raises(ConnectionError):
        asyncio.run(read_body(receive, None, 10))
