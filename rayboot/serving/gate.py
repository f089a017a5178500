"""The outermost layer of the app: access, limits, time, and the format of every error."""

import asyncio
import time
from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rayboot.serving.access import AccessRules
from rayboot.serving.limits import InFlightLimit, RateLimit, read_body
from rayboot.serving.metrics import ServiceMetrics
from rayboot.serving.problems import Problem
from rayboot.serving.serve_config import ServeConfig

__all__ = ["RECONSTRUCT_PATH", "Gate"]

RECONSTRUCT_PATH = "/v1/reconstruct"

_MAX_OTHER_BYTES = 100_000
"""Largest body of a request that brings no photo."""

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Gate:
    """ASGI middleware that lets a request pass, within its limits, or answers with a problem.

    Args:
        app: the app behind it.
        config: limits.
        rules: who may pass.
        metrics: where reconstructions are counted.
    """

    def __init__(
        self, app: ASGIApp, config: ServeConfig, rules: AccessRules, metrics: ServiceMetrics
    ) -> None:
        self._app, self._config, self._rules, self._metrics = app, config, rules, metrics
        self._in_flight, self._rate = InFlightLimit(config), RateLimit(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_counted = scope["path"] == RECONSTRUCT_PATH
        exchange = _Exchange(send)
        start = time.monotonic()
        if is_counted:
            self._metrics.begin()
        try:
            await self._handle(scope, receive, exchange, is_counted)
        except Problem as problem:
            if is_counted:
                self._metrics.count_problem(problem.stage, problem.reason)
            if exchange.status is None:
                await problem.response()(scope, receive, exchange.send)
        finally:
            if is_counted:
                self._metrics.end(exchange.status or 499, time.monotonic() - start)

    async def _handle(
        self, scope: Scope, receive: Receive, exchange: "_Exchange", is_counted: bool
    ) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        self._rules.require(scope["path"], headers)
        with ExitStack() as stack:
            if is_counted:
                client = scope.get("client")
                self._rate.require(client[0] if client else "")
                stack.enter_context(self._in_flight)
            max_bytes = self._config.max_bytes if is_counted else _MAX_OTHER_BYTES
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    body = await read_body(receive, headers.get("content-length"), max_bytes)
                    await self._app(scope, _Replay(body, receive), exchange.send)
            except TimeoutError as error:
                raise Problem(
                    504,
                    "service",
                    "timeout",
                    f"the request took more than {self._config.timeout_s:g} s; send it again, or "
                    "send a smaller photo",
                ) from error
            except ConnectionError:
                return


class _Exchange:
    """Sends a response, and remembers its status.

    Attributes:
        status: status of the response; None until it has begun.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await self._send(message)


class _Replay:
    """ASGI's ``receive`` of a request whose body has been read."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
