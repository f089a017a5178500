"""The GPU check on a machine with PyTorch and the packages of infra/gpu-requirements.txt only."""

import json
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rayboot.diagnostics.gpu.child import PARTS

ROOT = Path(__file__).resolve().parents[3]

# A process in which the modules of all other packages cannot be imported.
BARE = """
import importlib, runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def required_by(names: list[str]) -> set[str]:
    """Packages and all that they require."""
    found: set[str] = set()
    remaining = list(names)
    while remaining:
        name = canonicalize_name(remaining.pop())
        if name in found:
            continue
        found.add(name)
        requirements = map(Requirement, distribution(name).requires or [])
        remaining += [
            requirement.name
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.fixture(scope="module")
def bare() -> str:
    lines = (ROOT / "infra/gpu-requirements.txt").read_text("utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    present = required_by([*names, "torch", "pip", "setuptools"]) | {"rayboot"}
    assert not present & {"ray", "mlflow"}
    missing = {
        module
        for module, packages in packages_distributions().items()
        if not present & {canonicalize_name(package) for package in packages}
    }
    assert {"ray", "mlflow", "s3fs"} <= missing
    return BARE.format(missing=missing)


def test_all_parts_are_imported(bare: str) -> None:
    modules = sorted({f"rayboot.diagnostics.gpu.{part.split('.')[0]}" for part in PARTS.values()})
    code = f"{bare}\nfor module in {modules}: importlib.import_module(module)"
    code += "\nimport rayboot.cli, rayboot.cli.cluster_commands, rayboot.diagnostics.gpu.check"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.egl
def test_the_faces_are_made(bare: str, tmp_path: Path) -> None:
    code = (
        f"{bare}\nfrom rayboot.cli import main"
        f"\nmain(['synthesize', '--config', {str(tmp_path / 'faces.yaml')!r}, "
        f"'--output', {str(tmp_path / 'faces')!r}])"
    )
    (tmp_path / "faces.yaml").write_text("num_identities: 2\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "faces/Synthetic-3D").glob("*.jpg"))) == 2


@pytest.mark.egl
@pytest.mark.parametrize("part", ["generation", "evaluation"])
def test_parts_run(part: str, bare: str, synthetic_set: str) -> None:
    code = f"{bare}\nrunpy.run_module('rayboot.diagnostics.gpu.child', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, part, synthetic_set], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["status"] == "ok", outcome["reason"]
    if part == "generation":
        assert outcome["values"]["without_ray"]["faces"] > 0
        assert outcome["values"]["with_ray"] == "Ray is not installed"
