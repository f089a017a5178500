"""Choice of the EGL device to render on: one of several GPUs, or Mesa's software renderer."""

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, assert_never

from rayboot.errors import RaybootError

__all__ = ["DeviceKind", "EGLDevice", "explain_no_gpu", "list_devices", "rank_devices"]

DeviceKind = Literal["auto", "gpu", "software"]
"""``auto`` is a GPU if one renders, else the software renderer."""

_EGL_EXTENSIONS, _EGL_CUDA_DEVICE_NV = 0x3055, 0x323A
"""Names of the queries in EGL's headers; the second one asks for CUDA's number of a device."""


class EGLDevice(NamedTuple):
    """A device that EGL lists.

    Attributes:
        egl_index: its index in EGL's order.
        software: whether it is Mesa's renderer on the CPU.
        nvidia: whether NVIDIA's driver lists it.
        cuda_index: its index in CUDA's order of the GPUs that CUDA_VISIBLE_DEVICES shows to this
            process; None for all others.
    """

    egl_index: int
    software: bool
    nvidia: bool = False
    cuda_index: int | None = None


def list_devices() -> list[EGLDevice]:
    """Returns all devices of this machine, in EGL's order."""
    os.environ["PYOPENGL_PLATFORM"] = "egl"
    # This import makes PyOpenGL load EGL; its functions are not available before.
    from pyrender.platforms import egl

    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query_string = _egl_function(egl, b"eglQueryDeviceStringEXT", ctypes.c_char_p, pointer, integer)
    query_attribute = _egl_function(
        egl, b"eglQueryDeviceAttribEXT", integer, pointer, integer, pointer
    )
    devices = []
    for egl_index, device in enumerate(egl.query_devices()):
        handle = ctypes.cast(device._display, pointer)
        extensions = (query_string(handle, _EGL_EXTENSIONS) or b"").decode().split()
        nvidia, cuda_index = "EGL_NV_device_cuda" in extensions, None
        if nvidia:
            value = ctypes.c_ssize_t(-1)
            # Fails for GPUs that CUDA_VISIBLE_DEVICES hides, whatever form that variable has.
            if query_attribute(handle, _EGL_CUDA_DEVICE_NV, ctypes.byref(value)):
                cuda_index = value.value if value.value >= 0 else None
        software = "EGL_MESA_device_software" in extensions
        devices.append(EGLDevice(egl_index, software, nvidia, cuda_index))
    return devices


def _egl_function(egl: Any, name: bytes, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Returns an EGL extension function with the given result and argument types."""
    return ctypes.CFUNCTYPE(result, *arguments)(egl.egl.eglGetProcAddress(name))


def rank_devices(devices: Sequence[EGLDevice], kind: DeviceKind, pid: int) -> list[EGLDevice]:
    """Returns the devices that a process may render on, in the order in which to try them.

    First come the GPUs that CUDA shows to this process, then NVIDIA's others, then GPUs of other
    drivers, among them Mesa's nodes of NVIDIA cards, which are listed and cannot render.

    Args:
        devices: all devices of the machine.
        kind: the configured ``render_device``.
        pid: id of the process, by which processes are spread over the GPUs of one rank.

    Raises:
        RaybootError: EGL lists no device of that kind.
    """
    groups: dict[int, list[EGLDevice]] = {}
    for device in devices:
        groups.setdefault(_rank(device), []).append(device)
    match kind:
        case "auto":
            allowed = [*_GPU_RANKS, _SOFTWARE_RANK]
        case "gpu":
            allowed = [*_GPU_RANKS]
        case "software":
            allowed = [_SOFTWARE_RANK]
        case _:
            assert_never(kind)
    ranked = []
    for rank in allowed:
        group = groups.get(rank, [])
        start = pid % max(1, len(group))
        ranked += group[start:] + group[:start]
    if not ranked:
        raise RaybootError(
            f"render_device is {kind}, but none of EGL's {len(devices)} devices is of that kind; "
            "install the GPU's EGL library (NVIDIA: libnvidia-gl), or Mesa's (libegl-mesa0)"
        )
    return ranked


_GPU_RANKS, _SOFTWARE_RANK = range(3), 3


def _rank(device: EGLDevice) -> int:
    if device.software:
        return _SOFTWARE_RANK
    if device.cuda_index is not None:
        return 0
    return 1 if device.nvidia else 2


def explain_no_gpu(
    devices: Sequence[EGLDevice], cuda_visible_devices: str | None, device_files: Path
) -> str:
    """Returns what is known about why no GPU renders; empty on a machine without one.

    Args:
        devices: all devices that EGL lists.
        cuda_visible_devices: ``CUDA_VISIBLE_DEVICES`` of the process.
        device_files: ``/dev``.
    """
    if (cuda_visible_devices or "").startswith("MIG-"):
        return "the process is assigned a MIG instance, and these have no graphics"
    nodes = sorted((device_files / "dri").glob("renderD*"))
    closed = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return f"no permission for {', '.join(closed)}: add the user to the groups render and video"
    if (device_files / "nvidia0").exists() and not any(device.nvidia for device in devices):
        return (
            "EGL does not list this machine's NVIDIA GPU: install libnvidia-gl of the driver's "
            "version; in a container set NVIDIA_DRIVER_CAPABILITIES=all"
        )
    return ""
