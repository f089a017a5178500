"""Declared dependencies, locked versions and imports agree."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.test_architecture import FILES, imported_modules

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# Import names of packages that have another name.
IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyopengl": "OpenGL",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
}
# Declared although no statement imports them.
INDIRECT = {
    "nvidia_ml_py": "MLflow reads GPU metrics through it",
    "psutil": "MLflow reads system metrics through it",
    "s3fs": "fsspec opens s3:// through it",
}


def requirements(names: list[str]) -> list[Requirement]:
    return [Requirement(name) for name in names]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def import_names(needed: list[Requirement]) -> set[str]:
    names = [canonicalize_name(requirement.name) for requirement in needed]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def third_party_imports() -> set[str]:
    modules = set()
    for path in FILES:
        relative = path.relative_to(ROOT)
        if relative.parts[0] == "rayboot":
            imported = imported_modules(path.read_text("utf-8"), relative.parts[:-1])
            modules |= {name.split(".")[0] for _, name in imported}
    return modules - set(sys.stdlib_module_names) - {"rayboot"}


def test_constraints_hold_for_every_index_and_device() -> None:
    # A local tag (+cpu), a hash, a marker or a host would make them specific to one machine.
    for name, version in pins().items():
        assert re.fullmatch(r"[a-z0-9-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), (name, version)


def test_every_dependency_has_a_fitting_pin() -> None:
    locked = pins()
    extras = [name for group in PROJECT["optional-dependencies"].values() for name in group]
    for requirement in requirements(PROJECT["dependencies"] + extras):
        if requirement.marker is not None:
            continue  # torch pins Triton itself, and differently for CPU and GPU
        pin = locked.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} has no line in constraints.txt"
        assert Version(pin) in requirement.specifier, f"{requirement} excludes {pin}"


def test_imported_packages_are_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    optional = extras["detect"] + extras["heic"] + extras["onnx"] + extras["serve"]
    declared = import_names(requirements(PROJECT["dependencies"] + optional))
    assert third_party_imports() <= declared


def test_declared_packages_are_imported() -> None:
    declared = import_names(requirements(PROJECT["dependencies"]))
    unused = declared - third_party_imports() - set(INDIRECT)
    assert not unused, f"remove from pyproject.toml what nothing imports: {sorted(unused)}"


def test_no_package_delays_every_process() -> None:
    # jsonschema, and so Ray, imports it where it is installed, and it compiles a grammar for 3 s.
    assert importlib.util.find_spec("rfc3987_syntax") is None, (
        "rfc3987-syntax is installed: rebuild the environment with make clean env, or find the "
        "package of the dev extra that requires jsonschema[format-nongpl] and move it elsewhere"
    )


def test_shipped_files_stay_small() -> None:
    weights = {path: path.stat().st_size for path in (ROOT / "rayboot").rglob("*.safetensors")}
    assert all(size <= 6 * 2**20 for size in weights.values()), weights
