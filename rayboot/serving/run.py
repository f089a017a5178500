"""Starting and stopping the service."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rayboot.cluster.output_filter import without_lines
from rayboot.cluster.session import connect
from rayboot.errors import RequestError
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.serving.access import digest_token
from rayboot.serving.model_choice import choose_comparison, choose_model
from rayboot.serving.serve_config import TOKEN_VARIABLE, ServeConfig, is_loopback

__all__ = ["prepare_service", "require_token", "run_service"]

_MIN_TOKEN_LENGTH = 16

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_QUIET = {"log_level": "WARNING", "enable_access_log": False}
"""Logging of Ray Serve, into files of Ray's session."""

_CONTROLLER_ENDED = b"Task ServeController.graceful_shutdown failed"


def run_service(config: ServeConfig, announce: Callable[[str], None]) -> None:
    """Serves until the process is interrupted (Ctrl-C) or terminated.

    Args:
        config: what to serve.
        announce: called with the address when the service answers.

    Raises:
        RequestError: the model does not exist, the port is taken, a token is missing, or the
            extra ``serve`` is not installed.
        ClusterError: Ray cannot be started.
    """
    config = prepare_service(config)
    token_digest = require_token(config)
    served, comparison = choose_model(config), choose_comparison(config)
    on_cluster = "RAY_ADDRESS" in os.environ
    if not on_cluster:
        _require_free_port(config.host, config.port)
    with _interruptible() as set_signals, ExitStack() as ending, connect():
        # Ray has set handlers of its own.
        set_signals(_interrupt)
        from ray import serve

        from rayboot.serving.deployments import APP_NAME, build_service

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            serve.start(
                proxy_location="HeadOnly",
                http_options={"host": config.host, "port": config.port},
                logging_config=_QUIET,
            )
            service = build_service(config, served, comparison, token_digest)
            serve.run(service, name=APP_NAME, logging_config=_QUIET)
            announce(_address(config))
            while True:
                signal.pause()
        finally:
            # A second Ctrl-C would leave processes behind.
            set_signals(signal.SIG_IGN)
            # Ray reports that the controller, which it ends itself, did not answer. The report may
            # come until Ray has stopped, which is when this ends.
            ending.enter_context(without_lines(_CONTROLLER_ENDED, (1, 2)))
            if on_cluster:
                # Others may serve there too.
                serve.delete(APP_NAME)
            else:
                serve.shutdown()


def prepare_service(config: ServeConfig) -> ServeConfig:
    """Checks that the packages of the service are installed; makes paths absolute.

    Raises:
        RequestError: a package is missing.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        from ray import serve  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"serving requires packages that are not installed ({error}); run "
            "`pip install --upgrade rayboot`"
        ) from error
    return with_absolute_paths(config)


def require_token(config: ServeConfig) -> str | None:
    """Returns the digest of the token in the environment; None where none is required or set.

    Raises:
        RequestError: the service would be reachable from elsewhere without a token.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        if is_loopback(config.host):
            return None
        raise RequestError(
            f"host {config.host} can be reached from other machines, which requires a token; set "
            f"{TOKEN_VARIABLE} to {_MIN_TOKEN_LENGTH} random characters or more, for example to "
            "the output of `openssl rand -hex 24`, or serve on 127.0.0.1"
        )
    if len(token) < _MIN_TOKEN_LENGTH:
        raise RequestError(
            f"{TOKEN_VARIABLE} has {len(token)} characters, expected {_MIN_TOKEN_LENGTH} or more"
        )
    return digest_token(token)


def _require_free_port(host: str, port: int) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: a port of connections that have just ended is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise RequestError(
            f"cannot serve on {host} port {port} ({error.strerror or error}); give another --port"
        ) from error


def _address(config: ServeConfig) -> str:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[Callable[[Any], None]]:
    """Ends a ``with`` block without an error when Ctrl-C or SIGTERM comes.

    Yields a function that replaces the handler of both.
    """

    def set_signals(handler: Any) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, handler)

    former = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    # Shells start programs in the background with SIGINT ignored.
    set_signals(_interrupt)
    try:
        yield set_signals
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
