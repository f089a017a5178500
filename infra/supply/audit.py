"""Audit of the versions in constraints.txt for known vulnerabilities.

``python -m infra.supply.audit`` runs pip-audit with PyPI, or with OSV if PyPI does not respond. A
mirror of PyPI may have packages but no vulnerabilities, and pip-audit would report none: so each
service is first queried for a version that has one. If no service passes, a line reports it and the
exit status is 0, or 3 with ``RAYBOOT_REQUIRE_AUDIT=1``. The status is 1 for a vulnerability that is
not in ``vulnerabilities.toml``, and 2 for any other failure.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name

__all__ = [
    "SERVICES",
    "AuditError",
    "Ignored",
    "Service",
    "audit",
    "find_vulnerable",
    "read_ignored",
]

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = Path(__file__).with_name("vulnerabilities.toml")
_VULNERABLE_PIN = "pyyaml==5.3"
"""Version with CVE-2020-1747 and CVE-2020-14343, which are old and in every database."""
_UNAVAILABLE = re.compile(
    # A refused, unresolved or reset connection, or one that a proxy or certificate prevents; an
    # error status; a response that is not JSON; a package without a page in the index.
    r"^requests\.exceptions\.(?:\w*Timeout|ConnectionError|ProxyError|SSLError|JSONDecodeError)"
    r"|^requests\.exceptions\.HTTPError|Could not connect to|is not redirecting properly"
    r"|not found on PyPI and could not be audited",
    re.MULTILINE,
)
_TIMEOUT_S = 10
FOUND, FAILED, NOT_AUDITED = 1, 2, 3
"""Exit statuses."""


class AuditError(Exception):
    """The audit failed for another reason than an unavailable service."""


class Service(NamedTuple):
    """A source of vulnerabilities: its name, and options of pip-audit."""

    name: str
    options: tuple[str, ...]


SERVICES = (Service("PyPI", ("-s", "pypi")), Service("OSV", ("-s", "osv")))


class Ignored(NamedTuple):
    """A vulnerability that is ignored until a date.

    Attributes:
        id: identifier of PyPI, CVE or GitHub.
        package: name of the package.
        reason: reason why the vulnerability has no effect here.
        until: last day on which it is ignored.
    """

    id: str
    package: str
    reason: str
    until: datetime.date


def read_ignored(text: str) -> list[Ignored]:
    """Returns the list in ``vulnerabilities.toml``.

    Raises:
        AuditError: an entry is not complete, or has no reason.
    """
    entries = tomllib.loads(text).get("ignored", [])
    for entry in entries:
        has_date = isinstance(entry.get("until"), datetime.date)
        if set(entry) != set(Ignored._fields) or not has_date or not str(entry["reason"]).strip():
            raise AuditError(
                "vulnerabilities.toml: expected id, package, reason and until (a date) in every "
                f"entry, got {entry}"
            )
    return [Ignored(**entry) for entry in entries]


def _pip_audit(service: Service, file: Path, ignored: Sequence[str]) -> Any:
    """Runs pip-audit; returns its list of packages, or None if the service is unavailable."""
    command = [
        *(sys.executable, "-m", "pip_audit", "-r", str(file), "--no-deps", "--disable-pip"),
        *("--strict", "--format", "json", "--desc", "off", "--progress-spinner", "off"),
        *("--timeout", str(_TIMEOUT_S), *service.options),
        *(word for each in ignored for word in ("--ignore-vuln", each)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode in (0, FOUND) and done.stdout.strip():
        return json.loads(done.stdout)["dependencies"]
    if _UNAVAILABLE.search(done.stderr):
        return None
    raise AuditError(f"pip-audit ended with {done.returncode}:\n{done.stderr[-3000:]}")


def find_vulnerable(
    service: Service, requirements: Sequence[str], ignored: Sequence[str] = ()
) -> Any:
    """Returns the vulnerable packages of some pins; None if the service is unavailable."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements) + "\n", "utf-8")
        packages = _pip_audit(service, file, ignored)
    return None if packages is None else [each for each in packages if each.get("vulns")]


def audit(
    requirements: Sequence[str],
    ignored: Sequence[Ignored],
    services: Sequence[Service] = SERVICES,
    today: datetime.date | None = None,
) -> int:
    """Prints the known vulnerabilities of exact versions.

    Args:
        requirements: pins, ``name==version``.
        ignored: vulnerabilities that are ignored.
        services: services in order of preference; the first that reports the vulnerability
            of a version that is known to have one is used.
        today: date that is compared with ``until``; by default the current date.

    Returns:
        Exit status, which is also 0 if no service is available.

    Raises:
        AuditError: the audit failed, for example because the service became unavailable.
    """
    today = today or datetime.date.today()
    service = next((each for each in services if find_vulnerable(each, [_VULNERABLE_PIN])), None)
    if service is None:
        names = " nor ".join(each.name for each in services)
        print(f"audit: neither {names} reports vulnerabilities; nothing was audited")
        return NOT_AUDITED if os.environ.get("RAYBOOT_REQUIRE_AUDIT") == "1" else 0
    named = {canonicalize_name(line.split("==")[0]) for line in requirements}
    for each in ignored:
        if each.until < today:
            print(f"audit: {each.id} of {each.package} is not ignored after {each.until}")
        elif canonicalize_name(each.package) not in named:
            print(f"audit: {each.package} is not installed; remove {each.id} from the list")
    ids = [each.id for each in ignored if each.until >= today]
    vulnerable = find_vulnerable(service, requirements, ids)
    if vulnerable is None:
        raise AuditError(
            f"{service.name} responded for {_VULNERABLE_PIN}, but not for every locked version; "
            "run it again, or find the version with: "
            "pip-audit -r constraints.txt --no-deps --disable-pip --strict"
        )
    for each in vulnerable:
        for flaw in each["vulns"]:
            fixed = ", ".join(flaw["fix_versions"]) or "no version"
            names = " ".join([flaw["id"], *flaw.get("aliases", [])])
            print(f"audit: {each['name']} {each['version']}: {names}; fixed in {fixed}")
    print(
        f"audit: {service.name} was queried for {len(requirements)} versions, "
        f"{len(vulnerable)} vulnerable"
    )
    return FOUND if vulnerable else 0


def main() -> int:
    """Runs the command."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    try:
        ignored = read_ignored(_IGNORED.read_text("utf-8"))
        return audit([line for line in lines if line and not line.startswith("#")], ignored)
    except AuditError as error:
        print(f"audit: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
