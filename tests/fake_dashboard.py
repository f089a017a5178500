"""A server that returns a version like the dashboard of Ray, with or without a token."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.http_thread import serving


@contextmanager
def serve_dashboard(ray_version: str, token: str | None = None) -> Iterator[str]:
    """Yields the address of the server, which has a health page like MLflow as well."""

    class Dashboard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            header = self.headers.get("Authorization")
            is_allowed = token is None or header == f"Bearer {token}"
            has_page = self.path in ("/api/version", "/health")
            self.send_response(200 if is_allowed and has_page else 401 if not is_allowed else 404)
            self.end_headers()
            if is_allowed and has_page:
                self.wfile.write(json.dumps({"ray_version": ray_version}).encode())

        def log_message(self, *args: Any) -> None:
            """Keeps requests out of the output of the tests."""

    with serving(HTTPServer(("127.0.0.1", 0), Dashboard)) as url:
        yield url
