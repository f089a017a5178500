import pytest

from rayboot.errors import RaybootError
from rayboot.render.egl_device import EGLDevice, choose_device, list_devices

MESA = EGLDevice(2, True, None)
GPUS = [EGLDevice(0, False, 1), EGLDevice(1, False, 0)]


ALL = [*GPUS, MESA]


def chosen(kind: str, visible: str | None, process: int = 0, devices: list = ALL) -> int:
    return choose_device(devices, kind, visible, process).place


@pytest.mark.parametrize("kind", ["auto", "gpu"])
def test_a_process_draws_on_the_gpu_that_it_was_given(kind: str) -> None:
    # EGL's order is not CUDA's.
    assert chosen(kind, "0") == 1
    assert chosen(kind, "1,0") == 0


@pytest.mark.parametrize("visible", [None, "", "GPU-1b2c", "7"])
def test_processes_that_were_given_none_take_turns(visible: str | None) -> None:
    assert {chosen("auto", visible, process) for process in range(4)} == {0, 1}


def test_software_is_taken_where_it_is_asked_for_or_alone() -> None:
    assert chosen("software", "0") == 2
    assert chosen("auto", "0", devices=[MESA]) == 2
    assert chosen("auto", None, 17, devices=[MESA]) == 2


@pytest.mark.parametrize(("kind", "devices"), [("gpu", [MESA]), ("software", GPUS), ("auto", [])])
def test_a_kind_that_is_not_there_is_refused(kind: str, devices: list) -> None:
    with pytest.raises(RaybootError, match=f"render_device is {kind}.*install"):
        chosen(kind, None, devices=devices)


@pytest.mark.egl
def test_the_machines_devices_are_listed() -> None:
    devices = list_devices()
    assert [device.place for device in devices] == list(range(len(devices)))
    # Either kind draws; a number of CUDA's belongs to a GPU alone.
    assert all(device.cuda_index is None for device in devices if device.software)
    assert choose_device(devices, "auto", None, 0) in devices
