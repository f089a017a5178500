"""The machine: driver, precision, compiler, and what EGL lists under CUDA_VISIBLE_DEVICES."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import rayboot
from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.diagnostics.gpu.part import Workload
from rayboot.models.compilation import explain_no_compiler
from rayboot.models.precision import resolve_precision

__all__ = ["describe_gpu_machine"]

_LIST_DEVICES = """
import json
from rayboot.render.egl_device import list_devices
print(json.dumps([device._asdict() for device in list_devices()]))
"""


def describe_gpu_machine(workload: Workload) -> dict[str, Any]:
    """Returns driver, devices and versions; nothing is measured."""
    device = torch.device(workload.device)
    visible: dict[str, str | None] = {"unset": None, "empty": "", "0": "0"}
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rayboot": rayboot.__version__,
        "commit": _read_commit(),
        "driver": _query_driver(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": [_describe_gpu(index) for index in range(torch.cuda.device_count())],
        "precision": str(resolve_precision(device, "auto")).removeprefix("torch."),
        "no_compiler": explain_no_compiler(),
        "cpus": count_usable_cores(),
        "egl_devices": {name: _list_egl_devices(value) for name, value in visible.items()},
    }


def _read_commit() -> str:
    """Returns the commit of the checkout; empty outside of one."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(Path(rayboot.__file__).parents[1]), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _query_driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "nvidia-smi is not on PATH"
    command = [program, "--query-gpu=driver_version,name,mig.mode.current"]
    done = subprocess.run(
        [*command, "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=10
    )
    return (done.stdout or done.stderr).strip()


def _describe_gpu(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
    }


def _list_egl_devices(cuda_visible_devices: str | None) -> list[dict[str, Any]] | str:
    """Returns the devices that a process lists, or the last line of its error."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": cuda_visible_devices or ""}
    if cuda_visible_devices is None:
        del environment["CUDA_VISIBLE_DEVICES"]
    done = subprocess.run(
        [sys.executable, "-c", _LIST_DEVICES],
        env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return list(json.loads(done.stdout.splitlines()[-1]))
