"""The wheel and the source distribution, built as a release builds them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import rayboot

ROOT = Path(__file__).resolve().parents[1]


def tracked(folder: str) -> set[str]:
    command = ["git", "ls-files", "--", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("needs a git checkout, to know which files belong to the project")
    return set(done.stdout.splitlines())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # The build backend of this environment: an isolated one would be fetched.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(distributions: Path) -> None:
    (path,) = distributions.glob("*.whl")
    assert path.name == f"rayboot-{rayboot.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        configs = {f"rayboot/{name}" for name in tracked("configs")}
        assert names == tracked("rayboot") | configs
        (licence,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_can_be_built_and_tested(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    for folder in ("rayboot", "tests", "configs", "jobs", "docs", "infra"):
        missing = tracked(folder) - names
        assert not missing, f"not in the source distribution: {sorted(missing)[:5]}"
    assert {"Makefile", "constraints.txt", "pyproject.toml", "README.md", "CHANGELOG.md"} <= names


@pytest.fixture(scope="module")
def unpacked(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, in a folder without the clone."""
    folder = tmp_path_factory.mktemp("unpacked")
    (path,) = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(folder)  # noqa: S202 - built by this module
    return folder


def test_the_configs_of_the_wheel_are_found_by_name(unpacked: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rayboot", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(unpacked), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    listed = {line.split()[0] for line in run("configs", "list").stdout.splitlines()}
    assert listed == {Path(name).stem for name in tracked("configs") if name.endswith(".yaml")}
    assert run("configs", "copy", "round-photos", "own").stdout == "own/round-photos.yaml\n"
    assert (tmp_path / "own/schemas/round.json").exists()
    config = (ROOT / "configs/round-photos.yaml").read_text("utf-8")
    assert run("configs", "show", "round-photos").stdout == config
    command = ["generate", "--config", "generate-laptop", "--input", "none", "--output", "out"]
    done = run(*command)
    assert done.returncode == 2 and f"{tmp_path}/none: there is no such file" in done.stderr


def test_the_wheel_runs_without_the_checkout(unpacked: Path) -> None:
    code = (
        "import rayboot; from rayboot.models import load_network;"
        "from rayboot.registry.resolve import resolve_model;"
        "print(rayboot.__file__, load_network(resolve_model('builtin:compact').path).config.slices)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, slices = done.stdout.split()
    assert Path(where).is_relative_to(unpacked)
    assert slices == "112"
