"""Builds the stages of a Dockerfile without Docker, by running its steps in root file systems.

A stage is a folder. ``FROM python:...`` is a minimal Debian with its own Python, instead of the
official image; all other steps are run as written. This needs root.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.infra.dockerfile import ROOT, Stage, Step, ancestry

_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOCAL_PATH = re.compile(r"(?:file://)?(/[\w./-]+)")


class Image:
    """A stage that is built: its root file system, environment, working directory and user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        self.workdir, self.user = "/", "0"

    def run(self, command: str, timeout_s: float = 3600) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in the image, in separate namespaces that end its processes."""
        binds = [path for path in pip_paths() if path.exists()]
        mounts = [f"mount --rbind /dev {self._inside('/dev')}"]
        mounts.append(f"mount -t tmpfs tmpfs {self._inside('/dev/shm')}")
        for path in binds:
            target = self._inside(str(path))
            touch = f"mkdir -p {target}" if path.is_dir() else f"install -D /dev/null {target}"
            mounts.append(f"{touch} && mount --bind {path} {target}")
        enter = shlex.join(
            [
                *("unshare", f"--root={self.root}", f"--wd={self.workdir}"),
                *(f"--setuid={self.user}", f"--setgid={self.user}"),
                *("/usr/bin/env", "-i", *(f"{k}={v}" for k, v in self.environment.items())),
                *(f"{k}={v}" for k, v in pip_environment().items()),
                *("/bin/sh", "-ec", command),
            ]
        )
        proc = f"mount -t proc proc {self._inside('/proc')}"
        script = " && ".join([*mounts, proc, f"exec {enter}"])
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _inside(self, path: str) -> str:
        return shlex.quote(str(self.root / path.lstrip("/")))


def pip_settings() -> dict[str, str]:
    """Returns the pip settings of this machine by option."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    return {name: value for name, value in settings if name != "constraint"}


def pip_environment() -> dict[str, str]:
    """Returns the pip settings as variables, so that pip uses the same index in the image."""
    return {f"PIP_{k.upper().replace('-', '_')}": v for k, v in pip_settings().items()}


def pip_paths() -> list[Path]:
    """Returns the files and folders that the pip settings name."""
    paths = {m for value in pip_settings().values() for m in _LOCAL_PATH.findall(value)}
    # The first two components of a folder, because links in it may refer to its siblings.
    return sorted({Path(*Path(m).parts[:3]) if Path(m).is_dir() else Path(m) for m in paths})


def build(
    stages: Mapping[str, Stage], name: str, folder: Path, arguments: Mapping[str, str]
) -> Image:
    """Builds a stage and all stages that it needs, each of them once.

    Args:
        stages: stages of the Dockerfile by name.
        name: name of the stage.
        folder: folder of the root file systems.
        arguments: values of the build arguments.
    """
    done: dict[str, Image] = {}

    def build_once(required: str) -> Image:
        if required not in done:
            done[required] = _build_stage(stages[required], folder, arguments, build_once)
        return done[required]

    for stage in ancestry(dict(stages), name):
        build_once(stage.name)
    return done[name]


def _build_stage(
    stage: Stage, folder: Path, arguments: Mapping[str, str], build_once: Callable[[str], Image]
) -> Image:
    image = Image(folder / stage.name)
    if stage.base.startswith("python:"):
        _install_base_system(image.root, stage.base)
    else:
        parent = build_once(stage.base)
        copy(parent.root, image.root)
        image.environment = dict(parent.environment)
        image.workdir, image.user = parent.workdir, parent.user
    for step in stage.steps:
        _run_step(image, step, arguments, build_once)
    return image


def _install_base_system(root: Path, base: str) -> None:
    (suite,) = re.findall(r"-slim-(\w+)$", base)
    command = ["mmdebstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", suite, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)


def copy(source: Path, target: Path) -> None:
    """Copies a folder with owners and modes; by reference if the file system supports it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["cp", "-a", "--reflink=auto", "--one-file-system", str(source), str(target)]
    subprocess.run(command, check=True)


def _run_step(
    image: Image, step: Step, arguments: Mapping[str, str], build_once: Callable[[str], Image]
) -> None:
    if step.instruction == "RUN":
        done = image.run(step.text)
        assert done.returncode == 0, f"{step.text}\n{(done.stdout + done.stderr)[-4000:]}"
    elif step.instruction == "ENV":
        for word in step.words():
            key, value = word.split("=", 1)
            image.environment[key] = value.replace("$PATH", image.environment["PATH"])
    elif step.instruction == "ARG":
        key, _, default = step.text.partition("=")
        image.environment[key] = arguments.get(key, default)
    elif step.instruction == "WORKDIR":
        image.workdir = step.text
        (image.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif step.instruction == "USER":
        image.user, image.environment["HOME"] = step.text, image.workdir
    elif step.instruction == "COPY":
        _copy_step(image, step, build_once)
    else:
        assert step.instruction in ("HEALTHCHECK", "CMD", "LABEL"), (
            f"instruction without an equivalent: {step}"
        )


def _copy_step(image: Image, step: Step, build_once: Callable[[str], Image]) -> None:
    *sources, target = step.words()
    origin = ROOT
    if sources[0].startswith("--from="):
        origin = build_once(sources.pop(0).removeprefix("--from=")).root
    # An absolute target replaces the working directory.
    inside = image.root / str(Path(image.workdir) / target).lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        # Docker copies the content of a folder, and a file into a target that ends with a slash.
        end = inside / path.name if target.endswith("/") and path.is_file() else inside
        end.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            end.mkdir(exist_ok=True)
            subprocess.run(["cp", "-a", f"{path}/.", str(end)], check=True)
        else:
            shutil.copy2(path, end)
