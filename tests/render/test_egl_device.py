import pytest

from rayboot.errors import RaybootError
from rayboot.render.egl_device import EGLDevice, choose_device, list_devices

MESA = EGLDevice(2, True, None)
GPUS = [EGLDevice(0, False, 1), EGLDevice(1, False, 0)]

ALL = [*GPUS, MESA]


def chosen_index(
    kind: str, visible: str | None, pid: int = 0, devices: list[EGLDevice] = ALL
) -> int:
    return choose_device(devices, kind, visible, pid).egl_index


@pytest.mark.parametrize("kind", ["auto", "gpu"])
def test_a_process_renders_on_its_assigned_gpu(kind: str) -> None:
    # EGL's order differs from CUDA's.
    assert chosen_index(kind, "0") == 1
    assert chosen_index(kind, "1,0") == 0


@pytest.mark.parametrize("visible", [None, "", "GPU-1b2c", "7"])
def test_processes_without_assigned_gpus_are_spread_over_all(visible: str | None) -> None:
    assert {chosen_index("auto", visible, pid) for pid in range(4)} == {0, 1}


def test_software_is_used_if_configured_or_the_only_device() -> None:
    assert chosen_index("software", "0") == 2
    assert chosen_index("auto", "0", devices=[MESA]) == 2
    assert chosen_index("auto", None, 17, devices=[MESA]) == 2


@pytest.mark.parametrize(("kind", "devices"), [("gpu", [MESA]), ("software", GPUS), ("auto", [])])
def test_an_absent_kind_is_refused(kind: str, devices: list[EGLDevice]) -> None:
    with pytest.raises(RaybootError, match=f"render_device is {kind}.*install"):
        chosen_index(kind, None, devices=devices)


@pytest.mark.egl
def test_the_machines_devices_are_listed() -> None:
    devices = list_devices()
    assert [device.egl_index for device in devices] == list(range(len(devices)))
    # Only GPUs have an index in CUDA's order.
    assert all(device.cuda_index is None for device in devices if device.software)
    assert choose_device(devices, "auto", None, 0) in devices
