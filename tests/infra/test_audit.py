"""The audit of dependencies: pip-audit itself, with servers on this machine."""

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.supply.audit import (
    SERVICES,
    AuditError,
    Ignored,
    Service,
    audit,
    find_vulnerable,
    read_ignored,
)
from tests.http_thread import serving

TODAY = datetime.date(2026, 1, 31)
CLOSED_URL = "http://127.0.0.1:1/v1/query"
FLAWS = {
    "pyyaml": ("PYSEC-2020-96", "CVE-2020-1747", "5.3.1"),
    "leaky": ("PYSEC-2026-7", "CVE-2026-77", "2.0"),
}
LOCKED = ["leaky==1.0", "sound==3.1"]


def osv_answer(name: str, version: str) -> dict[str, Any]:
    """Returns the vulnerabilities of a package in the format of OSV."""
    if name not in FLAWS:
        return {}
    identifier, alias, fixed = FLAWS[name]
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
    entry = {"id": identifier, "aliases": [alias], "summary": "leaks", "affected": affected}
    return {"vulns": [entry]}


@contextmanager
def serve(answer: Any) -> Iterator[Service]:
    """Runs a server like OSV; ``answer`` returns (status, body) for a package and its version."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(query["package"]["name"], query["version"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield Service("OSV", ("-s", "osv", "--osv-url", f"{url}/v1/query"))


def osv_response(name: str, version: str) -> tuple[int, bytes]:
    return 200, json.dumps(osv_answer(name, version)).encode()


def unreachable(name: str = "Nowhere") -> Service:
    return Service(name, ("-s", "osv", "--osv-url", CLOSED_URL))


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connects without a proxy, and does not require the audit."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("RAYBOOT_REQUIRE_AUDIT", raising=False)


def test_a_vulnerable_version_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with serve(osv_response) as service:
        assert audit(LOCKED, [], [unreachable(), service], TODAY) == 1
    output = capsys.readouterr().out
    assert "leaky 1.0: PYSEC-2026-7 CVE-2026-77; fixed in 2.0" in output
    assert "sound" not in output
    assert "OSV was queried for 2 versions, 1 vulnerable" in output


def test_a_listed_vulnerability_is_ignored_until_its_date(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = Ignored("PYSEC-2026-7", "leaky", "never called", TODAY)
    with serve(osv_response) as service:
        later = TODAY + datetime.timedelta(days=1)
        assert audit(LOCKED, [entry], [service], later) == 1
        assert f"is not ignored after {TODAY}" in capsys.readouterr().out
        assert audit(["sound==3.1"], [entry], [service], TODAY) == 0
        assert "remove PYSEC-2026-7" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PYSEC-2026-7", "CVE-2026-77"])
def test_a_listed_vulnerability_is_named_by_any_of_its_identifiers(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = Ignored(name, "leaky", "never called", TODAY)
    with serve(osv_response) as service:
        assert audit(LOCKED, [entry], [service], TODAY) == 0
        assert "remove" not in capsys.readouterr().out


def test_versions_without_vulnerabilities_pass() -> None:
    with serve(osv_response) as service:
        assert audit(["sound==3.1"], [], [service], TODAY) == 0


def fixed_response(status: int, body: bytes) -> Any:
    return lambda name, version: (status, body)


@pytest.mark.parametrize(
    "answer",
    [
        fixed_response(404, b"no such page"),
        fixed_response(503, b"busy"),
        fixed_response(200, b"<html>a proxy's page</html>"),
        # A mirror, which responds without vulnerabilities.
        fixed_response(200, b"{}"),
    ],
)
def test_a_service_without_vulnerabilities_is_not_used(
    answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(answer) as service:
        assert audit(LOCKED, [], [unreachable(), service], TODAY) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("audit: neither Nowhere nor OSV reports")


def test_a_required_audit_fails_without_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(fixed_response(503, b"busy")) as service:
        monkeypatch.setenv("RAYBOOT_REQUIRE_AUDIT", "1")
        assert audit(LOCKED, [], [service], TODAY) == 3


def test_an_unavailable_proxy_makes_pypi_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert find_vulnerable(SERVICES[0], ["never-requested==1.0"]) is None


def test_a_service_that_becomes_unavailable_is_an_error() -> None:
    def respond_once(name: str, version: str) -> tuple[int, bytes]:
        return osv_response(name, version) if name == "pyyaml" else (503, b"busy")

    with (
        serve(respond_once) as service,
        pytest.raises(AuditError, match="not for every locked version"),
    ):
        audit(LOCKED, [], [service], TODAY)


def test_other_failures_are_errors() -> None:
    with pytest.raises(AuditError, match=r"invalid .*nobody"):
        audit(LOCKED, [], [Service("none", ("-s", "nobody"))], TODAY)
    with serve(osv_response) as service, pytest.raises(AuditError, match=r"not pinned|sound"):
        audit(["sound>=3"], [], [service], TODAY)


def test_an_entry_needs_a_reason_and_a_date() -> None:
    valid = '[[ignored]]\nid = "A"\npackage = "b"\nreason = "c"\nuntil = 2026-01-31\n'
    assert read_ignored(valid) == [Ignored("A", "b", "c", TODAY)]
    for invalid in (
        valid.replace('"c"', '" "'),
        valid.replace("2026-01-31", '"soon"'),
        valid.replace('package = "b"\n', ""),
    ):
        with pytest.raises(AuditError, match="expected id, package, reason and until"):
            read_ignored(invalid)
