"""The audit of dependencies: pip-audit itself, asking servers on this machine."""

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.supply.audit import SERVICES, AuditError, Ignored, Service, audit, known_to, read_ignored

TODAY = datetime.date(2026, 1, 31)
CLOSED = "http://127.0.0.1:1/v1/query"
FLAWS = {
    "pyyaml": ("PYSEC-2020-96", "CVE-2020-1747", "5.3.1"),
    "leaky": ("PYSEC-2026-7", "CVE-2026-77", "2.0"),
}
LOCKED = ["leaky==1.0", "sound==3.1"]


def osv_answer(name: str, version: str) -> dict[str, Any]:
    """As OSV describes a vulnerability of a package."""
    if name not in FLAWS:
        return {}
    identifier, alias, mended = FLAWS[name]
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": mended}]}]
    affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
    entry = {"id": identifier, "aliases": [alias], "summary": "leaks", "affected": affected}
    return {"vulns": [entry]}


@contextmanager
def serve(answer: Any) -> Iterator[Service]:
    """A server that speaks OSV: ``answer`` gives (status, body) for a package and its version."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(query["package"]["name"], query["version"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1/query"
        yield Service("OSV", ("-s", "osv", "--osv-url", url))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def knowing(name: str, version: str) -> tuple[int, bytes]:
    return 200, json.dumps(osv_answer(name, version)).encode()


def closed(name: str = "Nowhere") -> Service:
    return Service(name, ("-s", "osv", "--osv-url", CLOSED))


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy in between, and no demand of the caller's."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("RAYBOOT_REQUIRE_AUDIT", raising=False)


def test_a_vulnerable_version_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with serve(knowing) as service:
        assert audit(LOCKED, [], [closed(), service], TODAY) == 1
    said = capsys.readouterr().out
    assert "leaky 1.0: PYSEC-2026-7 CVE-2026-77; mended in 2.0" in said
    assert "sound" not in said
    assert "OSV was asked about 2 versions, 1 vulnerable" in said


@pytest.mark.parametrize("name", ["PYSEC-2026-7", "CVE-2026-77"])
def test_what_is_listed_with_a_reason_passes_until_its_day(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = Ignored(name, "leaky", "never called", TODAY)
    with serve(knowing) as service:
        assert audit(LOCKED, [entry], [service], TODAY) == 0
        assert "drop" not in capsys.readouterr().out
        later = TODAY + datetime.timedelta(days=1)
        assert audit(LOCKED, [entry], [service], later) == 1
        assert f"was let pass until {TODAY}" in capsys.readouterr().out
        assert audit(["sound==3.1"], [entry], [service], TODAY) == 0
        assert f"drop {name}" in capsys.readouterr().out


def test_sound_versions_pass() -> None:
    with serve(knowing) as service:
        assert audit(["sound==3.1"], [], [service], TODAY) == 0


def away(status: int, body: bytes) -> Any:
    return lambda name, version: (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        away(404, b"no such page"),
        away(503, b"busy"),
        away(200, b"<html>a proxy's page</html>"),
        # A mirror: answers, and knows of nothing.
        away(200, b"{}"),
    ],
)
def test_a_service_that_knows_nothing_is_none(
    answer: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answer) as service:
        assert audit(LOCKED, [], [closed(), service], TODAY) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("audit: neither Nowhere nor OSV answers")
        monkeypatch.setenv("RAYBOOT_REQUIRE_AUDIT", "1")
        assert audit(LOCKED, [], [service], TODAY) == 3


def test_pypi_behind_a_proxy_that_is_away_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert known_to(SERVICES[0], ["never-asked==1.0"]) is None


def test_a_service_that_ends_in_between_is_an_error() -> None:
    def once(name: str, version: str) -> tuple[int, bytes]:
        return knowing(name, version) if name == "pyyaml" else (503, b"busy")

    with serve(once) as service, pytest.raises(AuditError, match="not for every locked version"):
        audit(LOCKED, [], [service], TODAY)


def test_other_failures_are_not_taken_for_silence() -> None:
    with pytest.raises(AuditError, match="invalid .*nobody"):
        audit(LOCKED, [], [Service("none", ("-s", "nobody"))], TODAY)
    with serve(knowing) as service, pytest.raises(AuditError, match="not pinned|sound"):
        audit(["sound>=3"], [], [service], TODAY)


def test_an_entry_needs_a_reason_and_a_day() -> None:
    good = '[[ignored]]\nid = "A"\npackage = "b"\nreason = "c"\nuntil = 2026-01-31\n'
    assert read_ignored(good) == [Ignored("A", "b", "c", TODAY)]
    for bad in (
        good.replace('"c"', '" "'),
        good.replace("2026-01-31", '"soon"'),
        good.replace('package = "b"\n', ""),
    ):
        with pytest.raises(AuditError, match="has id, package, reason and until"):
            read_ignored(bad)
