"""The bill of materials of the image, here of the environment that runs the tests."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packageurl import PackageURL
from packaging.utils import canonicalize_name

import rayboot
from tests.test_packaging import ROOT, pins

SCRIPT = ROOT / "infra/image/sbom.py"
LISTING = (
    "libegl1\t1.6.0-1\tamd64\tlibglvnd\tii \n"
    "gone\t1.0\tall\tgone\trc \n"
    "libc6\t2.36-9+deb12u13\tamd64\tglibc\tii \n"
)


@pytest.fixture(scope="module")
def bom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document that the command writes, after checking it with the schema of CycloneDX."""
    folder = tmp_path_factory.mktemp("sbom")
    output, python = folder / "sbom.cdx.json", str(folder / "venv/bin/python")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    install = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, "-r", SCRIPT.with_name("sbom-requirements.txt")], check=True)
    command = [python, str(SCRIPT), "--python", sys.executable]
    command += ["--project", str(ROOT / "pyproject.toml"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(output.read_text("utf-8"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    return dict(document)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_it_names_rayboot_and_the_locked_versions(bom: dict[str, Any]) -> None:
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("rayboot", rayboot.__version__)
    python = [each for each in bom["components"] if each["purl"].startswith("pkg:pypi/")]
    named = {canonicalize_name(each["name"]): each["version"].split("+")[0] for each in python}
    locked = pins()
    assert {name: locked[name] for name in named if name in locked} == {
        name: version for name, version in named.items() if name in locked
    }
    listing = [sys.executable, "-m", "pip", "list", "--format=json"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    installed = {canonicalize_name(each["name"]) for each in json.loads(done.stdout)}
    assert set(named) == installed - {"rayboot"}
    assert all(each.get("licenses") for each in python if each["name"] in ("torch", "pykdtree"))


@pytest.mark.slow
def test_it_contains_the_dependencies_of_packages(bom: dict[str, Any]) -> None:
    dependencies = {entry["ref"]: entry.get("dependsOn", []) for entry in bom["dependencies"]}
    direct = {ref.split("==")[0] for ref in dependencies[bom["metadata"]["component"]["bom-ref"]]}
    assert {"ray", "mlflow", "torch"} <= direct


@pytest.mark.slow
def test_it_contains_the_debian_packages_of_this_machine(bom: dict[str, Any]) -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("no dpkg on this machine")
    form = "--showformat=${Package} ${db:Status-Abbrev}\\n"
    done = subprocess.run(["dpkg-query", "--show", form], capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    installed = {name for name, status in lines if status == "ii"}
    debian = [each for each in bom["components"] if each["purl"].startswith("pkg:deb/")]
    assert {each["name"] for each in debian} == installed


def test_debian_packages_have_source_version_and_licences(
    script: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "libegl1").mkdir()
    copyright_ = "Files: *\nLicense: MIT\n text\n\nFiles: x\nLicense: Apache-2.0\n\nLicense: MIT\n"
    (tmp_path / "libegl1/copyright").write_text(copyright_)
    first, second = script.debian_packages(LISTING, "debian-12", tmp_path)
    assert first.purl == PackageURL(
        "deb", "debian", "libegl1", "1.6.0-1", {"arch": "amd64", "distro": "debian-12"}
    )
    assert sorted(each.name for each in first.licenses) == ["Apache-2.0", "MIT"]
    assert [each.value for each in first.properties] == ["libglvnd"]
    assert (second.name, second.version, list(second.licenses)) == ("libc6", "2.36-9+deb12u13", [])


def test_a_python_that_is_no_debian_package_is_listed(script: ModuleType) -> None:
    own = script.interpreter(script.Described("0.1.0", "3.11.9", "/usr/local"))
    assert str(own.purl) == "pkg:generic/python@3.11.9"
    assert script.interpreter(script.Described("0.1.0", "3.11.2", "/usr")) is None


def test_an_invalid_document_is_not_written(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.JsonV1Dot6, "output_as_string", lambda *_, **__: '{"bomFormat": 1}')
    with pytest.raises(ValueError, match="does not fit CycloneDX"):
        script.write(script.Bom(), tmp_path / "sbom.json")
    assert not (tmp_path / "sbom.json").exists()
