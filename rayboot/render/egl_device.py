"""Which device EGL draws on: one of several GPUs, or Mesa's renderer on the processor."""

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from rayboot.errors import RaybootError

__all__ = ["DeviceKind", "EGLDevice", "choose_device", "list_devices"]

DeviceKind = Literal["auto", "gpu", "software"]
"""``auto`` is a GPU where EGL knows one, else software."""

_EXTENSIONS, _CUDA_DEVICE = 0x3055, 0x323A
"""EGL_EXTENSIONS; EGL_CUDA_DEVICE_NV, the number that CUDA gives the device."""


class EGLDevice(NamedTuple):
    """A device of EGL.

    Attributes:
        place: in EGL's order.
        software: whether it is Mesa's renderer on the processor.
        cuda_index: its number in CUDA's order of all GPUs; None where it has none.
    """

    place: int
    software: bool
    cuda_index: int | None


def list_devices() -> list[EGLDevice]:
    """All devices of this machine, in EGL's order."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    # It loads PyOpenGL for EGL; none of EGL's functions can be had before.
    from pyrender.platforms import egl

    pointer, number = ctypes.c_void_p, ctypes.c_int
    ask_text = _function(egl, b"eglQueryDeviceStringEXT", ctypes.c_char_p, pointer, number)
    ask_number = _function(egl, b"eglQueryDeviceAttribEXT", number, pointer, number, pointer)
    devices = []
    for place, device in enumerate(egl.query_devices()):
        handle = ctypes.cast(device._display, pointer)
        extensions = (ask_text(handle, _EXTENSIONS) or b"").decode().split()
        cuda_index = None
        if "EGL_NV_device_cuda" in extensions:
            value = ctypes.c_ssize_t()
            if ask_number(handle, _CUDA_DEVICE, ctypes.byref(value)):
                cuda_index = value.value
        devices.append(EGLDevice(place, "EGL_MESA_device_software" in extensions, cuda_index))
    return devices


def _function(egl: Any, name: bytes, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.CFUNCTYPE(result, *arguments)(egl.egl.eglGetProcAddress(name))


def choose_device(
    devices: Sequence[EGLDevice], kind: DeviceKind, visible: str | None, process: int
) -> EGLDevice:
    """The device that a process draws on.

    Args:
        devices: of the machine.
        kind: what is asked for.
        visible: ``CUDA_VISIBLE_DEVICES`` of the process. EGL does not heed it; a process that
            was given GPUs by number draws on the first of them.
        process: number of the process; those without GPUs of their own take turns by it.

    Raises:
        RaybootError: there is no device of that kind.
    """
    gpus = [device for device in devices if not device.software]
    software = [device for device in devices if device.software]
    if kind == "software" or (kind == "auto" and not gpus):
        candidates = software
    else:
        candidates = gpus
    if not candidates:
        raise RaybootError(
            f"render_device is {kind}, but among EGL's {len(devices)} devices is none of that kind; "
            "install the GPU's EGL library (NVIDIA: libnvidia-gl), or Mesa's (libegl-mesa0)"
        )
    given = [word for word in (visible or "").split(",") if word.strip().isdigit()]
    for word in given:
        for device in candidates:
            if device.cuda_index == int(word):
                return device
    return candidates[process % len(candidates)]
