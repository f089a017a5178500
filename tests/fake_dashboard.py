"""A stand-in for Ray's dashboard that answers for versions, with or without a token."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def serve_dashboard(ray_version: str, token: str | None = None) -> Iterator[str]:
    """Its address; also answers as MLflow's server does when asked for its health."""

    class Dashboard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization")
            allowed = token is None or sent == f"Bearer {token}"
            known = self.path in ("/api/version", "/health")
            self.send_response(200 if allowed and known else 401 if not allowed else 404)
            self.end_headers()
            if allowed and known:
                self.wfile.write(json.dumps({"ray_version": ray_version}).encode())

        def log_message(self, *args: Any) -> None:
            """Keeps the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Dashboard)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
