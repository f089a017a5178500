"""A proxy that forwards requests with the right login to a server, and counts the requests."""

import base64
import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

__all__ = ["LoginProxy"]

_HOP_BY_HOP_HEADERS = {"connection", "transfer-encoding", "content-length", "host"}


class LoginProxy:
    """Listens on a free port within a ``with`` block."""

    def __init__(self, target: str, user: str, password: str) -> None:
        self.header = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.num_let_through, self.num_refused = 0, 0
        proxy, address = self, urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # The health page needs no login.
                if self.path != "/health" and self.headers.get("Authorization") != proxy.header:
                    proxy.num_refused += 1
                    self.respond(401, {}, b"login required")
                    return
                proxy.num_let_through += 1
                headers = {
                    k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP_HEADERS
                }
                headers.pop("Authorization", None)
                upstream = http.client.HTTPConnection(address, timeout=60)
                upstream.request(self.command, self.path, body, {**headers, "Host": address})
                response = upstream.getresponse()
                self.respond(response.status, dict(response.getheaders()), response.read())
                upstream.close()

            def respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _HOP_BY_HOP_HEADERS | {"date", "server"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "LoginProxy":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
