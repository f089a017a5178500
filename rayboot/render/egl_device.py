"""Choice of the EGL device to render on: one of several GPUs, or Mesa's software renderer."""

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, assert_never

from rayboot.errors import RaybootError

__all__ = ["DeviceKind", "EGLDevice", "choose_device", "list_devices"]

DeviceKind = Literal["auto", "gpu", "software"]
"""``auto`` is a GPU if EGL lists one, else the software renderer."""

_EGL_EXTENSIONS, _EGL_CUDA_DEVICE_NV = 0x3055, 0x323A
"""Names of the queries in EGL's headers; the second one asks for CUDA's number of a device."""


class EGLDevice(NamedTuple):
    """A device that EGL lists.

    Attributes:
        egl_index: its index in EGL's order.
        software: whether it is Mesa's renderer on the CPU.
        cuda_index: its index in CUDA's order of all GPUs; None if it has none.
    """

    egl_index: int
    software: bool
    cuda_index: int | None


def list_devices() -> list[EGLDevice]:
    """Returns all devices of this machine, in EGL's order."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
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
        cuda_index = None
        if "EGL_NV_device_cuda" in extensions:
            value = ctypes.c_ssize_t()
            if query_attribute(handle, _EGL_CUDA_DEVICE_NV, ctypes.byref(value)):
                cuda_index = value.value
        devices.append(EGLDevice(egl_index, "EGL_MESA_device_software" in extensions, cuda_index))
    return devices


def _egl_function(egl: Any, name: bytes, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Returns an EGL extension function with the given result and argument types."""
    return ctypes.CFUNCTYPE(result, *arguments)(egl.egl.eglGetProcAddress(name))


def choose_device(
    devices: Sequence[EGLDevice], kind: DeviceKind, cuda_visible_devices: str | None, pid: int
) -> EGLDevice:
    """Returns the device that a process renders on.

    Args:
        devices: all devices of the machine.
        kind: the configured ``render_device``.
        cuda_visible_devices: ``CUDA_VISIBLE_DEVICES`` of the process. EGL ignores it; a process
            to which GPUs are assigned by number renders on the first of them.
        pid: id of the process, by which processes without assigned GPUs are spread over all.

    Raises:
        RaybootError: EGL lists no device of that kind.
    """
    gpus = [device for device in devices if not device.software]
    software = [device for device in devices if device.software]
    match kind:
        case "auto":
            candidates = gpus or software
        case "gpu":
            candidates = gpus
        case "software":
            candidates = software
        case _:
            assert_never(kind)
    if not candidates:
        raise RaybootError(
            f"render_device is {kind}, but none of EGL's {len(devices)} devices is of that kind; "
            "install the GPU's EGL library (NVIDIA: libnvidia-gl), or Mesa's (libegl-mesa0)"
        )
    words = [word for word in (cuda_visible_devices or "").split(",") if word.strip().isdigit()]
    for word in words:
        for device in candidates:
            if device.cuda_index == int(word):
                return device
    return candidates[pid % len(candidates)]
