"""The Dockerfile of the image, which test_image.py builds."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.infra.dockerfile import DOCKERFILE, ROOT, Stage, ancestry, environment, read_dockerfile
from tests.test_packaging import PROJECT

TEXT = DOCKERFILE.read_text("utf-8")
ARGUMENTS, STAGES = read_dockerfile(TEXT)
IMAGES = ("cpu", "cuda")


def copied_paths(stage: Stage) -> Iterator[str]:
    """Yields the paths of the project that a stage copies."""
    for step in stage.steps_of("COPY"):
        *sources, _ = step.words()
        if not sources[0].startswith("--from="):
            yield from sources


def is_sent(path: str) -> bool:
    """Whether a path is sent to the builder: the last matching line of .dockerignore decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        names = parts if "**/" in line else heads
        if any(fnmatch(name, pattern) for name in names):
            kept = line.startswith("!")
    return kept


def test_stages_are_defined_before_they_are_used() -> None:
    known = {ARGUMENTS["PYTHON_IMAGE"]}
    for stage in STAGES.values():
        assert stage.base in known
        for step in stage.steps_of("COPY"):
            source = step.words()[0].removeprefix("--from=")
            assert source in known or not step.words()[0].startswith("--from=")
        known.add(stage.name)
    assert set(IMAGES) <= set(STAGES)
    assert list(STAGES)[-1] == "cpu", "a build without --target builds the last stage"


def test_the_base_is_a_python_that_rayboot_runs_on() -> None:
    (version,) = re.findall(r"python:(\d+\.\d+)-slim-bookworm", ARGUMENTS["PYTHON_IMAGE"])
    supported = {line.split(" :: ")[-1] for line in PROJECT["classifiers"] if "3." in line}
    assert version in supported


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_does_not_run_as_root(name: str) -> None:
    steps = [step for stage in ancestry(STAGES, name) for step in stage.steps]
    users = [step.text for step in steps if step.instruction == "USER"]
    # A number, so that an orchestrator can check that it is not root.
    assert users and int(users[-1]) > 0
    after = steps[max(i for i, step in enumerate(steps) if step.instruction == "USER") :]
    assert not [step for step in after if step.instruction == "RUN"]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_a_health_check_and_both_kinds_of_egl(name: str) -> None:
    line = ancestry(STAGES, name)
    (check,) = [step for stage in line for step in stage.steps_of("HEALTHCHECK")]
    command = json.loads(check.text.split("CMD ", 1)[1])
    targets = [step.words()[-1] for stage in line for step in stage.steps_of("COPY")]
    assert command[-1] in targets
    variables = {key: value for stage in line for key, value in environment(stage).items()}
    assert "graphics" in variables["NVIDIA_DRIVER_CAPABILITIES"].split(",")
    assert variables["PYOPENGL_PLATFORM"] == "egl"
    assert "/usr/share/glvnd/egl_vendor.d/10_nvidia.json" in targets
    packages = next(step.text for step in STAGES["system"].steps_of("RUN"))
    install = (ROOT / "infra/install.sh").read_text("utf-8")
    (needed,) = re.findall(r"^egl_packages=\((.*)\)$", install, re.MULTILINE)
    assert set(needed.split()) <= set(packages.split())


def test_the_image_for_gpus_can_compile_networks() -> None:
    compiler = {"gcc", "libc6-dev"}
    texts = {name: " ".join(step.text for step in STAGES[name].steps_of("RUN")) for name in STAGES}
    assert compiler <= set(texts["cuda"].split())
    # The bill of materials is written in a stage with the same packages.
    assert compiler <= set(texts["env-cuda"].split())
    assert not compiler & set(texts["cpu"].split())


def test_installed_packages_are_pinned() -> None:
    installs = [
        part
        for stage in STAGES.values()
        for step in stage.steps_of("RUN")
        for part in step.text.split("&&")
        if "pip install" in part
    ]
    assert installs
    for part in installs:
        pinned = "-c constraints.txt" in part or "constraints.txt)" in part
        assert pinned or "--no-deps /wheels/*.whl" in part, part
        assert " -e" not in part


def test_layers_contain_the_packages_of_the_extras() -> None:
    for name, extras in (("env-cpu", []), ("env-cuda", ["gpu"])):
        command = next(s.text for s in STAGES[name].steps_of("RUN") if "requirements.py" in s.text)
        named = command.split("pyproject.toml ")[1].split(" >")[0].split()
        assert named == ["cluster", *extras]
    script = [sys.executable, "infra/image/requirements.py", "pyproject.toml", "cluster"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    printed = {str(Requirement(line)) for line in done.stdout.splitlines()}
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cluster"]
    assert printed == {str(Requirement(line)) for line in requirements}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_its_bill_of_materials_and_not_the_tool(name: str) -> None:
    line = ancestry(STAGES, name)
    labels = {word for stage in line for step in stage.steps_of("LABEL") for word in step.words()}
    (path,) = [word.split("=")[1] for word in labels if word.startswith("rayboot.sbom=")]
    (copy,) = [step for step in STAGES[name].steps_of("COPY") if step.words()[-1] == path]
    origin, source, _ = copy.words()
    bom = STAGES[origin.removeprefix("--from=")]
    # It describes the environment that the image contains.
    assert f"--from={bom.base}" in [step.words()[0] for step in STAGES[name].steps_of("COPY")]
    assert f"--output {source}" in bom.steps_of("RUN")[-1].text
    assert "cyclonedx" not in "".join(step.text for stage in line for step in stage.steps)


def test_copied_files_exist_and_are_sent() -> None:
    for stage in STAGES.values():
        for path in copied_paths(stage):
            assert (ROOT / path).exists(), path
            assert is_sent(path), f".dockerignore excludes {path}"


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".venv/bin/python", "runs/compose.env", "runs/stack/secrets/ray-token",
        "data/photos/a.jpg", "tests/conftest.py", "mlruns/0/meta.yaml", "notes.txt",
        "rayboot/geometry/__pycache__/mesh.pyc", "infra/stack/layout.py",
    ],
)  # fmt: skip
def test_files_that_the_image_does_not_need_are_not_sent(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize("path", ["rayboot/models/compact.safetensors", "jobs/table1.py"])
def test_files_that_the_image_needs_are_sent(path: str) -> None:
    assert (ROOT / path).exists() and is_sent(path)


def test_no_secret_is_in_the_image() -> None:
    word = re.compile(r"(TOKEN|PASSWORD|SECRET|ACCESS_KEY)\w*=", re.IGNORECASE)
    assert not word.search(TEXT)
    used = [path for stage in STAGES.values() for path in copied_paths(stage)]
    assert not [path for path in used if path in (".", "./", "infra")]


def test_the_health_check_depends_on_the_node(tmp_path: Path) -> None:
    # Without a node the container is healthy.
    script = (ROOT / "infra/image/healthcheck.py").read_text("utf-8")
    without_node = script.replace("return any(", "return False and any(")
    done = subprocess.run([sys.executable, "-c", without_node], capture_output=True)
    assert done.returncode == 0
    # With a node whose agent does not respond it is not healthy.
    without_agent = script.replace("return any(", "return True or any(")
    done = subprocess.run(
        [sys.executable, "-c", without_agent], capture_output=True, text=True,
        env={"RAYBOOT_AGENT_PORT": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stdout
