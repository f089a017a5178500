"""An HTTP server or an application that runs in a thread while a test uses it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer
from typing import Any


@contextlib.contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Runs ``server`` until the block ends; yields its address, ``http://127.0.0.1:PORT``."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def serving_app(app: Any) -> Iterator[str]:
    """Runs an ASGI application on uvicorn until the block ends; yields its address."""
    import uvicorn

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
