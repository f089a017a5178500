"""Writes what the image is made of: a software bill of materials (SBOM), as CycloneDX JSON.

    python sbom.py --python /opt/rayboot/bin/python --project pyproject.toml --output sbom.cdx.json

Python's packages come from cyclonedx-py; this adds rayboot's own version, the Python that runs it,
and Debian's packages with the licences that their copyright files name. Runs where cyclonedx-bom is
installed, which the environment that is described need not hold.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

_DPKG_FIELDS = ("Package", "Version", "Architecture", "source:Package", "db:Status-Abbrev")
_LICENCE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
_COPYRIGHT = Path("/usr/share/doc")
_DESCRIBE = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps([version("rayboot"), platform.python_version(), sys.base_prefix]))
"""


class Described(NamedTuple):
    """The environment: rayboot's version, its Python's, and where that Python is installed."""

    rayboot: str
    python: str
    prefix: str


def python_packages(python: str, project: Path) -> Bom:
    """What cyclonedx-py finds in the environment of an interpreter."""
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        # What is written in the end is validated.
        "--no-validate",
        *("--pyproject", str(project), "--of", "JSON", "--sv", "1.6", python),
    ]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    bom: Bom = Bom.from_json(json.loads(found))  # type: ignore[attr-defined]
    return bom


def debian_packages(listing: str, distribution: str, documents: Path) -> Iterator[Component]:
    """The installed ones.

    Args:
        listing: of dpkg-query, a package a line, the fields parted by tabs.
        distribution: such as ``debian-12``.
        documents: folder of ``PACKAGE/copyright``.
    """
    for line in listing.splitlines():
        name, version, architecture, source, status = line.split("\t")
        if not status.startswith("ii"):
            continue
        qualifiers = {"arch": architecture, "distro": distribution}
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=f"deb:{name}:{architecture}",
            purl=PackageURL("deb", "debian", name, version, qualifiers),
            licenses=[DisjunctiveLicense(name=each) for each in _licences(documents / name)],
            properties=[Property(name="rayboot:debian:source", value=source)],
        )


def _licences(folder: Path) -> list[str]:
    """Names in the copyright file; none where it is free text."""
    file = folder / "copyright"
    if not file.exists():
        return []
    return sorted(set(_LICENCE.findall(file.read_text("utf-8", errors="replace"))))


def interpreter(described: Described) -> Component | None:
    """Python, where it is none of Debian's packages."""
    if described.prefix == "/usr":
        return None
    return Component(
        type=ComponentType.APPLICATION,
        name="python",
        version=described.python,
        bom_ref="python",
        purl=PackageURL("generic", None, "python", described.python),
        licenses=[DisjunctiveLicense(id="PSF-2.0")],
    )


def describe(python: str) -> Described:
    """Asks an interpreter."""
    answer = subprocess.run(
        [python, "-c", _DESCRIBE], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return Described(*json.loads(answer))


def dpkg_listing() -> str:
    """What is installed here; empty where there is no dpkg."""
    form = "\t".join(f"${{{field}}}" for field in _DPKG_FIELDS) + "\n"
    try:
        return subprocess.run(
            ["dpkg-query", "--show", f"--showformat={form}"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
    except FileNotFoundError:
        return ""


def _distribution() -> str:
    lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    return "-".join(release.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))


def write(bom: Bom, output: Path) -> None:
    """Writes it, once it fits CycloneDX's schema.

    Raises:
        ValueError: it does not.
    """
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise ValueError(f"the bill of materials does not fit CycloneDX 1.6: {fault}")
    output.write_text(text + "\n", "utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", required=True, help="of the environment")
    parser.add_argument("--project", required=True, type=Path, help="pyproject.toml")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    described = describe(options.python)
    bom = python_packages(options.python, options.project)
    assert bom.metadata.component is not None
    bom.metadata.component.version = described.rayboot
    bom.components.update(debian_packages(dpkg_listing(), _distribution(), _COPYRIGHT))
    if (python := interpreter(described)) is not None:
        bom.components.add(python)
    write(bom, options.output)
    print(f"{options.output}: {len(bom.components)} components")


if __name__ == "__main__":
    main()
