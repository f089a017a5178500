from pathlib import Path

import pytest

from rayboot.errors import RaybootError
from rayboot.render.egl_device import EGLDevice, explain_no_gpu, list_devices, rank_devices

MESA = EGLDevice(3, software=True)
DRM_NODE = EGLDevice(2, software=False)
"""Mesa's node of an NVIDIA card: listed as a GPU, and unable to render."""


def gpus(*cuda_indices: int | None) -> list[EGLDevice]:
    """NVIDIA's devices with what EGL answers for each under some CUDA_VISIBLE_DEVICES."""
    return [
        EGLDevice(index, software=False, nvidia=True, cuda_index=cuda_index)
        for index, cuda_index in enumerate(cuda_indices)
    ]


def first(devices: list[EGLDevice], kind: str = "auto", pid: int = 0) -> int:
    return rank_devices(devices, kind, pid)[0].egl_index


@pytest.mark.parametrize("kind", ["auto", "gpu"])
def test_a_process_renders_on_the_gpu_that_cuda_shows_it(kind: str) -> None:
    # CUDA_VISIBLE_DEVICES=3, as a number or as a UUID: the fourth card is CUDA's first.
    devices = [DRM_NODE, *gpus(None, None, None, 0), MESA]
    assert {first(devices, kind, pid) for pid in range(5)} == {3}


def test_processes_that_see_all_gpus_are_spread_over_them() -> None:
    # An actor without a GPU that inherited 0,1,2,3; EGL's order differs from CUDA's.
    devices = [*gpus(2, 3, 0, 1), DRM_NODE, MESA]
    assert {first(devices, pid=pid) for pid in range(8)} == {0, 1, 2, 3}


def test_nvidias_devices_are_tried_before_those_of_other_drivers() -> None:
    # CUDA_VISIBLE_DEVICES is empty: CUDA shows none of them, and they render nevertheless.
    devices = [DRM_NODE, *gpus(None, None), MESA]
    ranked = rank_devices(devices, "auto", 1)
    assert ranked == [devices[2], devices[1], DRM_NODE, MESA]
    assert rank_devices(devices, "gpu", 1) == ranked[:-1]


def test_software_is_used_if_configured_or_the_only_device() -> None:
    assert first([*gpus(0), MESA], "software") == MESA.egl_index
    assert first([MESA], pid=17) == MESA.egl_index


@pytest.mark.parametrize(
    ("kind", "devices"), [("gpu", [MESA]), ("software", gpus(0)), ("auto", [])]
)
def test_an_absent_kind_is_refused(kind: str, devices: list[EGLDevice]) -> None:
    with pytest.raises(RaybootError, match=f"render_device is {kind}.*install"):
        rank_devices(devices, kind, 0)


def test_the_reason_for_software_is_explained(tmp_path: Path, monkeypatch) -> None:
    assert explain_no_gpu([MESA], None, tmp_path) == ""
    assert "MIG" in explain_no_gpu(gpus(None), "MIG-1b2c", tmp_path)
    (tmp_path / "nvidia0").touch()
    assert "libnvidia-gl" in explain_no_gpu([MESA, DRM_NODE], None, tmp_path)
    assert explain_no_gpu([*gpus(0), MESA], None, tmp_path) == ""
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri/renderD128").touch()
    # Permissions do not bind root, who runs the tests in CI.
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "renderD128: add the user to the groups" in explain_no_gpu([MESA], None, tmp_path)


@pytest.mark.egl
def test_the_machines_devices_are_listed() -> None:
    devices = list_devices()
    assert [device.egl_index for device in devices] == list(range(len(devices)))
    # Only GPUs have an index in CUDA's order.
    assert all(device.cuda_index is None for device in devices if device.software)
    assert set(rank_devices(devices, "auto", 0)) == set(devices)
