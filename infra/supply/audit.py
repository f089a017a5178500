"""Whether a version in constraints.txt is known to be vulnerable.

``python -m infra.supply.audit``: pip-audit asks PyPI, or OSV where PyPI does not answer. A mirror
of PyPI may have packages and know of no vulnerability, and pip-audit would call everything sound:
so each service is first asked about a version that has one. Where no service passes, a line says so
and the exit status is 0, or 3 with ``RAYBOOT_REQUIRE_AUDIT=1``. A vulnerability that is not in
``vulnerabilities.toml`` gives 1, anything else that goes wrong 2.
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

__all__ = ["SERVICES", "AuditError", "Ignored", "Service", "audit", "known_to", "read_ignored"]

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = Path(__file__).with_name("vulnerabilities.toml")
_VULNERABLE = "pyyaml==5.3"
"""CVE-2020-1747 and CVE-2020-14343: old, and in every database."""
_SILENT = re.compile(
    # A refused, unresolved or cut connection, a proxy or certificate in between; a status
    # that is none; an answer of something else; a package that an index has no page for.
    r"^requests\.exceptions\.(?:\w*Timeout|ConnectionError|ProxyError|SSLError|JSONDecodeError)"
    r"|^requests\.exceptions\.HTTPError|Could not connect to|is not redirecting properly"
    r"|not found on PyPI and could not be audited",
    re.MULTILINE,
)
_TIMEOUT_S = 10
FOUND, FAULT, UNASKED = 1, 2, 3
"""Exit statuses."""


class AuditError(Exception):
    """The audit could not be made, and not because a service is away."""


class Service(NamedTuple):
    """Where vulnerabilities are asked for: its name, and options of pip-audit."""

    name: str
    options: tuple[str, ...]


SERVICES = (Service("PyPI", ("-s", "pypi")), Service("OSV", ("-s", "osv")))


class Ignored(NamedTuple):
    """A vulnerability that does not stop CI.

    Attributes:
        id: of PyPI, CVE or GitHub.
        package: that has it.
        reason: why it does no harm here.
        until: the day after which it counts again.
    """

    id: str
    package: str
    reason: str
    until: datetime.date


def read_ignored(text: str) -> list[Ignored]:
    """The list in ``vulnerabilities.toml``.

    Raises:
        AuditError: an entry lacks something, or has no reason.
    """
    entries = tomllib.loads(text).get("ignored", [])
    for entry in entries:
        dated = isinstance(entry.get("until"), datetime.date)
        if set(entry) != set(Ignored._fields) or not dated or not str(entry["reason"]).strip():
            raise AuditError(
                "vulnerabilities.toml: an entry has id, package, reason and until, a date; "
                f"not {entry}"
            )
    return [Ignored(**entry) for entry in entries]


def _pip_audit(service: Service, file: Path, ignored: Sequence[str]) -> Any:
    """What pip-audit says of exact versions: its dependencies; None where nobody answers."""
    command = [
        *(sys.executable, "-m", "pip_audit", "-r", str(file), "--no-deps", "--disable-pip"),
        *("--strict", "--format", "json", "--desc", "off", "--progress-spinner", "off"),
        *("--timeout", str(_TIMEOUT_S), *service.options),
        *(word for each in ignored for word in ("--ignore-vuln", each)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode in (0, FOUND) and done.stdout.strip():
        return json.loads(done.stdout)["dependencies"]
    if _SILENT.search(done.stderr):
        return None
    raise AuditError(f"pip-audit ended with {done.returncode}:\n{done.stderr[-3000:]}")


def known_to(service: Service, requirements: Sequence[str], ignored: Sequence[str] = ()) -> Any:
    """Vulnerable ones of some exact versions, by pip-audit; None where the service is away."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements) + "\n", "utf-8")
        found = _pip_audit(service, file, ignored)
    return None if found is None else [each for each in found if each.get("vulns")]


def audit(
    requirements: Sequence[str],
    ignored: Sequence[Ignored],
    services: Sequence[Service] = SERVICES,
    today: datetime.date | None = None,
) -> int:
    """Prints what is known of exact versions.

    Args:
        requirements: ``name==version`` each.
        ignored: what does not count.
        services: asked in this order; the first that knows vulnerabilities is believed.
        today: for tests.

    Returns:
        An exit status; 0 too where no service answers.

    Raises:
        AuditError: something else went wrong, such as a service that ends in between.
    """
    today = today or datetime.date.today()
    service = next((each for each in services if known_to(each, [_VULNERABLE])), None)
    if service is None:
        names = " nor ".join(each.name for each in services)
        print(f"audit: neither {names} answers with vulnerabilities; nothing was audited")
        return UNASKED if os.environ.get("RAYBOOT_REQUIRE_AUDIT") == "1" else 0
    named = {canonicalize_name(line.split("==")[0]) for line in requirements}
    for each in ignored:
        if each.until < today:
            print(f"audit: {each.id} of {each.package} was let pass until {each.until}; it counts")
        elif canonicalize_name(each.package) not in named:
            print(f"audit: {each.package} is not installed any more; drop {each.id} from the list")
    passed = [each.id for each in ignored if each.until >= today]
    found = known_to(service, requirements, passed)
    if found is None:
        raise AuditError(
            f"{service.name} answered for {_VULNERABLE}, and not for every locked version; run it "
            "again, or see which: pip-audit -r constraints.txt --no-deps --disable-pip --strict"
        )
    for each in found:
        for flaw in each["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "no version"
            names = " ".join([flaw["id"], *flaw.get("aliases", [])])
            print(f"audit: {each['name']} {each['version']}: {names}; mended in {mended}")
    print(
        f"audit: {service.name} was asked about {len(requirements)} versions, "
        f"{len(found)} vulnerable"
    )
    return FOUND if found else 0


def main() -> int:
    """The command."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    try:
        ignored = read_ignored(_IGNORED.read_text("utf-8"))
        return audit([line for line in lines if line and not line.startswith("#")], ignored)
    except AuditError as error:
        print(f"audit: {error}", file=sys.stderr)
        return FAULT


if __name__ == "__main__":
    sys.exit(main())
