"""Writes the software bill of materials (SBOM) of the image, as CycloneDX JSON.

    python sbom.py --python /opt/rayboot/bin/python --project pyproject.toml --output sbom.cdx.json

Python packages are listed by cyclonedx-py; this script adds the version of rayboot, the Python
interpreter, and the Debian packages with the licences in their copyright files. It runs in an
environment with cyclonedx-bom, which need not be the environment that it describes.
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
    """The described environment: versions of rayboot and Python, and the prefix of that Python."""

    rayboot: str
    python: str
    prefix: str


def python_packages(python: str, project: Path) -> Bom:
    """Returns the packages that cyclonedx-py lists in the environment of an interpreter."""
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        # The complete document is validated before it is written.
        "--no-validate",
        *("--pyproject", str(project), "--of", "JSON", "--sv", "1.6", python),
    ]
    document = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    bom: Bom = Bom.from_json(json.loads(document))  # type: ignore[attr-defined]
    return bom


def debian_packages(listing: str, distribution: str, documents: Path) -> Iterator[Component]:
    """Yields the installed Debian packages.

    Args:
        listing: output of dpkg-query, one package a line, with tabs between the fields.
        distribution: name and version, such as ``debian-12``.
        documents: folder that contains ``PACKAGE/copyright``.
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
    """Returns the licences that a copyright file names; none if it is free text."""
    file = folder / "copyright"
    if not file.exists():
        return []
    return sorted(set(_LICENCE.findall(file.read_text("utf-8", errors="replace"))))


def interpreter(described: Described) -> Component | None:
    """Returns the Python interpreter, unless it is a Debian package."""
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
    """Returns the versions and the prefix of an interpreter, which is run for that."""
    output = subprocess.run(
        [python, "-c", _DESCRIBE], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return Described(*json.loads(output))


def dpkg_listing() -> str:
    """Returns the list of installed Debian packages; empty on a system without dpkg."""
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
    """Writes a document that is valid by the schema of CycloneDX.

    Raises:
        ValueError: the document is not valid.
    """
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise ValueError(f"the bill of materials does not fit CycloneDX 1.6: {error}")
    output.write_text(text + "\n", "utf-8")


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", required=True, help="interpreter of the environment")
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
