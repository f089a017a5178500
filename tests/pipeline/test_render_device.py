from pathlib import Path

import pytest

from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.pipeline.render_device import resolve_render_device

AUTO = GenerateConfig(input="photos", output="pairs")


@pytest.fixture
def device_files(tmp_path: Path) -> Path:
    """The device files of a machine with a GPU."""
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri/renderD128").touch()
    return tmp_path


def resolved(config: GenerateConfig, device_files: Path, **environment: str) -> str:
    return str(resolve_render_device(config, environment, device_files).pools.render_device)


@pytest.mark.parametrize("renders", [True, False])
def test_this_machine_is_tried(
    device_files: Path, monkeypatch: pytest.MonkeyPatch, renders: bool
) -> None:
    monkeypatch.setattr("rayboot.pipeline.render_device._gpu_renders", lambda: renders)
    assert resolved(AUTO, device_files) == ("gpu" if renders else "software")
    # The nodes of a cluster are not this machine.
    assert resolved(AUTO, device_files, RAY_ADDRESS="head:6379") == "software"


def test_a_machine_without_a_gpu_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rayboot.pipeline.render_device._gpu_renders", lambda: pytest.fail("tried"))
    assert resolved(AUTO, tmp_path) == "software"


def test_renderers_with_a_part_of_a_gpu_use_it(tmp_path: Path) -> None:
    config = AUTO.replace(pools=PoolConfig(render_gpus=0.1))
    assert resolved(config, tmp_path, RAY_ADDRESS="head:6379") == "gpu"


@pytest.mark.parametrize("kind", ["gpu", "software"])
def test_a_configured_kind_stays(tmp_path: Path, kind: str) -> None:
    config = AUTO.replace(pools=PoolConfig(render_device=kind))
    assert resolve_render_device(config, {}, tmp_path) is config


@pytest.mark.egl
def test_the_probe_finds_the_software_renderer(
    device_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only Mesa's software renderer, as on a machine whose GPU has no driver.
    vendor = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")
    if not vendor.exists():
        pytest.skip(f"Mesa's EGL is not installed: there is no {vendor}")
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", str(vendor))
    monkeypatch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
    assert resolved(AUTO, device_files) == "software"
