"""Checks of the machine: rendering, GPU, memory, disk."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from rayboot.cluster.environment import find_start_problems
from rayboot.diagnostics.check import (
    Check,
    install_remedy,
    is_clone,
    last_line,
    run_in_subprocess,
)

__all__ = [
    "check_compiler",
    "check_disk",
    "check_egl",
    "check_environment",
    "check_gpu",
    "check_memory",
    "check_shared_memory",
]

_GIB = 2**30
_MIN_MEMORY, _MIN_DISK, _MIN_SHARED_MEMORY = 6 * _GIB, 2 * _GIB, _GIB // 2
"""Bytes: a demo round needs less than 6 GiB; Ray's object store needs memory-backed files."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's mount point, not a temporary file


def check_environment(address: str | None) -> Iterator[Check]:
    """Checks what in the environment keeps Ray from starting; yields the problems alone.

    Args:
        address: address of the Ray cluster; None for a local Ray.
    """
    for problem in find_start_problems(address):
        status: Literal["note", "FAIL"] = "FAIL" if problem.is_fatal else "note"
        yield Check(problem.name, status, problem.detail, problem.remedy)


def check_egl() -> Check:
    """Renders a triangle off-screen in a child process, because a driver may crash."""
    done = run_in_subprocess(
        "from rayboot.diagnostics.machine_checks import _draw_triangle; _draw_triangle()",
        timeout_s=60,
    )
    if done.returncode == 0:
        return Check("EGL", "ok", done.stdout.strip())
    return Check(
        "EGL",
        "FAIL",
        f"cannot render off-screen: {last_line(done)}",
        "sudo apt-get install libegl1 libegl-mesa0 libgl1 libglx-mesa0 libgl1-mesa-dri; "
        "in a container with a GPU also set NVIDIA_DRIVER_CAPABILITIES=all",
    )


def _draw_triangle() -> None:
    from rayboot.render import Renderer

    started = time.monotonic()
    # The constructor draws a triangle and checks its colour.
    device = Renderer(16).device
    where = "in software" if device.software else "on a GPU"
    seconds = time.monotonic() - started
    print(f"renders a triangle {where} (EGL device {device.egl_index}) in {seconds:.1f} s")


def check_gpu(required: bool) -> Check:
    """Checks for a CUDA GPU that PyTorch can use; fails without one only if it is required."""
    code = (
        "import torch; ok = torch.cuda.is_available(); "
        "print(torch.cuda.get_device_name() if ok else '', torch.__version__, sep='|')"
    )
    done = run_in_subprocess(code, timeout_s=120)
    if done.returncode != 0:
        return Check(
            "GPU",
            "FAIL",
            f"PyTorch cannot be imported: {last_line(done)}",
            install_remedy("make env"),
        )
    name, version = done.stdout.strip().split("|")
    if name:
        return Check("GPU", "ok", f"{name}, PyTorch {version}")
    if Path("/dev/nvidia0").exists():
        cuda = "make clean env" if is_clone() else "pip install --force-reinstall torch"
        return Check(
            "GPU",
            "FAIL" if required else "note",
            f"this machine has one, but PyTorch {version} cannot use it",
            f"{cuda} installs the CUDA build; if it is installed, update the driver",
        )
    if required:
        return Check(
            "GPU",
            "FAIL",
            "none on this machine, but the config requests one",
            "run on a machine with one, submit to a cluster, or request none in the config",
        )
    return Check("GPU", "ok", f"none, and none is required (PyTorch {version})")


def check_compiler() -> Check:
    """Checks whether this machine can compile networks for a GPU."""
    code = (
        "from rayboot.models.compilation import explain_no_compiler; print(explain_no_compiler())"
    )
    done = run_in_subprocess(code, timeout_s=120)
    if done.returncode != 0:
        return Check(
            "compilation",
            "FAIL",
            f"PyTorch cannot be imported: {last_line(done)}",
            install_remedy("make env"),
        )
    missing, _, remedy = done.stdout.strip().partition(": ")
    if not missing:
        return Check("compilation", "ok", "Triton and a C compiler are installed")
    detail = f"compile is true, but {missing}; networks run without compilation, more slowly"
    return Check("compilation", "note", detail, remedy)


def check_memory() -> Check:
    """Checks the free memory of the machine or of the container, whichever is less."""
    free = _free_memory()
    detail = f"{free / _GIB:.1f} GiB free, a demo round needs {_MIN_MEMORY / _GIB:.0f}"
    if free >= _MIN_MEMORY:
        return Check("memory", "ok", detail)
    return Check("memory", "FAIL", detail, "close other programs, or raise the container's limit")


def _free_memory() -> int:
    """Returns free bytes; memory that the kernel can reclaim counts as free."""
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(meminfo["MemAvailable"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        # Inactive file cache counts as usage of the group, but is reclaimed on demand.
        usage = Path("/sys/fs/cgroup/memory.current")
        stat = dict(
            line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        )
        in_use = int(usage.read_text()) - int(stat["inactive_file"])
        return min(free, int(limit.read_text()) - in_use)
    except (OSError, ValueError, KeyError):
        return free


def check_shared_memory() -> Check:
    """Checks the free space in /dev/shm, where Ray stores objects."""
    try:
        free = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        free = 0
    detail = f"{free / _GIB:.1f} GiB free in /dev/shm"
    if free >= _MIN_SHARED_MEMORY:
        return Check("shared memory", "ok", detail)
    return Check(
        "shared memory",
        "note",
        f"{detail}; Ray falls back to files on disk, which is slower",
        "in a container: docker run --shm-size=2g",
    )


def check_disk(folder: Path) -> Check:
    """Checks the free space of the disk with ``folder``, for outputs."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GIB:.1f} GiB free in {folder}, a demo round needs {_MIN_DISK // _GIB}"
    if free >= _MIN_DISK:
        return Check("disk", "ok", detail)
    return Check("disk", "FAIL", detail, "free some space, or run in a folder on another disk")
