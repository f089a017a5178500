"""Parts of a support bundle about the machine: versions, packages, GPU, EGL, memory, disks."""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import psutil

from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.cluster.versions import installed_versions

__all__ = ["read_environment", "read_machine", "read_packages"]

_MAIN_PACKAGES = (
    "rayboot",
    "ray",
    "torch",
    "mlflow",
    "numpy",
    "pyarrow",
    "pyrender",
    "fsspec",
    "s3fs",
)
_EGL_VENDOR_FOLDERS = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
_DISKS = (".", "/tmp", "/dev/shm")  # noqa: S108 - their free space is reported, no file is made

_HARMLESS_VARIABLES = frozenset({
    "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE", "AWS_REGION", "CUDA_VISIBLE_DEVICES", "EGL_PLATFORM", "LANG", "LC_ALL",
    "LD_LIBRARY_PATH", "LP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
    "MLFLOW_REGISTRY_URI", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_TRACKING_URI",
    "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM", "PYOPENGL_PLATFORM", "RAYBOOT_S3_ANONYMOUS",
    "PYTHONPATH", "RAYBOOT_LOG_FORMAT", "RAY_ADDRESS", "RAY_AUTH_MODE",
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS", "RAY_TMPDIR", "RAY_USAGE_STATS_ENABLED", "TZ",
    "VIRTUAL_ENV", "__EGL_VENDOR_LIBRARY_FILENAMES",
})  # fmt: skip
"""Environment variables whose values are included; of all others only the name is."""


def read_machine() -> Iterator[tuple[str, str]]:
    """Yields ``machine.json`` with versions and hardware, and the output of ``nvidia-smi``."""
    packages = {name: _version(name) for name in _MAIN_PACKAGES}
    description = {
        "versions": {**packages, **installed_versions(), "Python": platform.python_version()},
        "system": platform.platform(),
        "distribution": _distribution(),
        "processors": {"usable": count_usable_cores(), "kind": _processor_name()},
        "memory": {"bytes": psutil.virtual_memory()._asdict(), "limit": _read_cgroup("memory.max")},
        "disks": {
            folder: shutil.disk_usage(folder)._asdict()
            for folder in _DISKS
            if Path(folder).is_dir()
        },
        "EGL vendors": sorted(
            str(path) for folder in _EGL_VENDOR_FOLDERS for path in Path(folder).glob("*.json")
        ),
        "GPU devices": sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*")),
    }
    yield "machine.json", json.dumps(description, indent=1)
    yield "nvidia-smi.txt", _nvidia_smi()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")


def _read_cgroup(name: str) -> str | None:
    try:
        return (Path("/sys/fs/cgroup") / name).read_text().strip()
    except OSError:
        return None


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "nvidia-smi is not installed on this machine"
    try:
        done = subprocess.run([program], capture_output=True, text=True, timeout=15)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi: {error}"
    return done.stdout + done.stderr


def read_packages() -> Iterator[tuple[str, str]]:
    """Yields ``packages.txt``: every installed package with its version."""
    packages = {(dist.name or "?").lower(): dist.version for dist in metadata.distributions()}
    yield "packages.txt", "\n".join(f"{name}=={packages[name]}" for name in sorted(packages))


def read_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields ``environment.txt``: names of all variables, and the values of harmless ones."""
    lines = [
        f"{name}={environment[name]}"
        if name in _HARMLESS_VARIABLES
        else f"{name} is set, its value is not shown"
        for name in sorted(environment)
    ]
    yield "environment.txt", "\n".join(lines)
