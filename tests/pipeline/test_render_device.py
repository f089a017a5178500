from pathlib import Path

import pytest

from rayboot.pipeline.generate_config import GenerateConfig, PoolConfig
from rayboot.pipeline.render_device import explain_software, resolve_render_device
from rayboot.render import Renderer

AUTO = GenerateConfig(input="photos", output="pairs")


@pytest.fixture
def device_files(tmp_path: Path) -> Path:
    """The device files of a machine with a GPU."""
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri/renderD128").touch()
    return tmp_path


def resolved(config: GenerateConfig, device_files: Path, **environment: str) -> str:
    return str(resolve_render_device(config, environment, device_files).pools.render_device)


@pytest.mark.parametrize(
    ("reason", "kind"), [(None, "gpu"), ("no permission for renderD128", "software")]
)
def test_this_machine_is_tried(
    device_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: str | None,
    kind: str,
) -> None:
    monkeypatch.setattr("rayboot.pipeline.render_device.explain_software", lambda: reason)
    assert resolved(AUTO, device_files) == kind
    assert caplog.messages == (
        [] if reason is None else [f"renderers use the processor, not this machine's GPU: {reason}"]
    )
    # The nodes of a cluster are not this machine.
    assert resolved(AUTO, device_files, RAY_ADDRESS="head:6379") == "software"


def test_a_machine_without_a_gpu_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rayboot.pipeline.render_device.explain_software", lambda: pytest.fail("tried")
    )
    assert resolved(AUTO, tmp_path) == "software"


def test_renderers_with_a_part_of_a_gpu_use_it(tmp_path: Path) -> None:
    config = AUTO.replace(pools=PoolConfig(render_gpus=0.1))
    assert resolved(config, tmp_path, RAY_ADDRESS="head:6379") == "gpu"


@pytest.mark.parametrize("kind", ["gpu", "software"])
def test_a_configured_kind_stays(tmp_path: Path, kind: str) -> None:
    config = AUTO.replace(pools=PoolConfig(render_device=kind))
    assert resolve_render_device(config, {}, tmp_path) is config


@pytest.mark.egl
def test_a_child_process_finds_what_a_renderer_uses_here() -> None:
    reason = explain_software()
    assert (reason is not None) == Renderer(16).device.software
    assert reason is None or reason.endswith("see rayboot doctor")
