"""Builds what a Dockerfile describes without Docker: its steps, run in bare root file systems.

A stage is a folder. ``FROM python:...`` is Debian's smallest system with its Python, instead of
the official image; all else is done as written. Needs root.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.infra.dockerfile import ROOT, Stage, Step, ancestry

_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOCAL_PATH = re.compile(r"(?:file://)?(/[\w./-]+)")


class Image:
    """A stage that is built: a root file system, and what RUN would find there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        self.workdir, self.user = "/", "0"

    def run(self, command: str, timeout_s: float = 3600) -> subprocess.CompletedProcess[str]:
        """A shell's command in it, in namespaces of its own: what it starts ends with it."""
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
    """This machine's own settings of pip, by option."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    return {name: value for name, value in found if name != "constraint"}


def pip_environment() -> dict[str, str]:
    """The same as variables, so that pip finds packages in there as it does out here."""
    return {f"PIP_{k.upper().replace('-', '_')}": v for k, v in pip_settings().items()}


def pip_paths() -> list[Path]:
    """Files and folders that they name."""
    found = {m for value in pip_settings().values() for m in _LOCAL_PATH.findall(value)}
    # The first two parts of a path: what lies beside it may be linked from it.
    return sorted({Path(*Path(m).parts[:3]) if Path(m).is_dir() else Path(m) for m in found})


def build(
    stages: Mapping[str, Stage], name: str, folder: Path, arguments: Mapping[str, str]
) -> Image:
    """Builds a stage and all that it needs, each once.

    Args:
        stages: of the Dockerfile.
        name: of the stage.
        folder: of the root file systems.
        arguments: values of build arguments.
    """
    done: dict[str, Image] = {}

    def built(wanted: str) -> Image:
        if wanted not in done:
            done[wanted] = _build_stage(stages[wanted], folder, arguments, built)
        return done[wanted]

    for stage in ancestry(dict(stages), name):
        built(stage.name)
    return done[name]


def _build_stage(stage: Stage, folder: Path, arguments: Mapping[str, str], built) -> Image:  # type: ignore[no-untyped-def]
    image = Image(folder / stage.name)
    if stage.base.startswith("python:"):
        _bare_system(image.root, stage.base)
    else:
        parent: Image = built(stage.base)
        copy(parent.root, image.root)
        image.environment = dict(parent.environment)
        image.workdir, image.user = parent.workdir, parent.user
    for step in stage.steps:
        _do(image, step, arguments, built)
    return image


def _bare_system(root: Path, base: str) -> None:
    (suite,) = re.findall(r"-slim-(\w+)$", base)
    command = ["mmdebstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", suite, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)


def copy(source: Path, target: Path) -> None:
    """Everything, with owners and modes; by reference where the disk can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["cp", "-a", "--reflink=auto", "--one-file-system", str(source), str(target)]
    subprocess.run(command, check=True)


def _do(image: Image, step: Step, arguments: Mapping[str, str], built) -> None:  # type: ignore[no-untyped-def]
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
        _copy_step(image, step, built)
    else:
        assert step.instruction in ("HEALTHCHECK", "CMD", "LABEL"), f"not known here: {step}"


def _copy_step(image: Image, step: Step, built) -> None:  # type: ignore[no-untyped-def]
    *sources, target = step.words()
    origin = ROOT
    if sources[0].startswith("--from="):
        origin = built(sources.pop(0).removeprefix("--from=")).root
    inside = image.root / os.path.join(image.workdir, target).lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        # Docker copies what is in a folder, and a file into a folder whose name ends so.
        end = inside / path.name if target.endswith("/") and path.is_file() else inside
        end.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            end.mkdir(exist_ok=True)
            subprocess.run(["cp", "-a", f"{path}/.", str(end)], check=True)
        else:
            shutil.copy2(path, end)
