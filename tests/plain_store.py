"""A small store that speaks as much of S3 as listing, reading and writing need, and has faults.

Unlike SeaweedFS it is open to everybody, may refuse single objects and ignore conditions.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class PlainStore:
    """Objects by path (``bucket/key``), and what the store does with them.

    Attributes:
        objects: content of the objects.
        refused: paths of objects that are not given out, with the code of the answer.
        conditions: whether ``If-None-Match`` is honoured.
        writable: whether anything may be written.
        checksums: whether puts with a header of a checksum are accepted.
        signed: number of requests that carried credentials.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self.conditions = True
        self.checksums = True
        self.writable = True
        self.signed = 0
        self.requests: list[tuple[str, str]] = []
        self.endpoint_url = ""


@contextmanager
def serve_store() -> Iterator[PlainStore]:
    """Serves an empty store within a ``with`` block."""
    store = PlainStore()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, payload: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        def _refuse(self, status: int, code: str) -> None:
            self._answer(
                status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            )

        def _path(self) -> str:
            store.signed += "Authorization" in self.headers
            path = unquote(urlsplit(self.path).path).strip("/")
            store.requests.append((self.command, path))
            return path

        def do_GET(self) -> None:
            path, query = self._path(), parse_qs(urlsplit(self.path).query)
            if "list-type" in query:
                self._list(path, query.get("prefix", [""])[0])
            elif path in store.refused:
                self._refuse(403, store.refused[path])
            elif path in store.objects:
                self._answer(200, store.objects[path], ETag='"1"')
            else:
                self._refuse(404, "NoSuchKey")

        do_HEAD = do_GET  # noqa: N815 - the name that the server calls

        def do_PUT(self) -> None:
            path = self._path()
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            if not store.writable:
                self._refuse(403, "AccessDenied")
                return
            if not store.checksums and any("checksum" in name.lower() for name in self.headers):
                self._refuse(501, "NotImplemented")
                return
            if store.conditions and "If-None-Match" in self.headers and path in store.objects:
                self._refuse(412, "PreconditionFailed")
                return
            store.objects[path] = payload
            self._answer(200, ETag='"1"')

        def do_DELETE(self) -> None:
            store.objects.pop(self._path(), None)
            self._answer(204)

        def _list(self, bucket: str, prefix: str) -> None:
            found = {
                path.removeprefix(f"{bucket}/"): payload
                for path, payload in store.objects.items()
                if path.startswith(f"{bucket}/{prefix}")
            }
            contents = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(payload)}</Size>"
                f"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
                for key, payload in sorted(found.items())
            )
            text = (
                f"<ListBucketResult><KeyCount>{len(found)}</KeyCount>"
                f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
            )
            self._answer(200, text.encode(), Content_Type="application/xml")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.endpoint_url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
