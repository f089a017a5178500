"""The kind of device that all renderers of a run use.

GPUs and the software renderer differ in the last bits of some pixels. So ``auto`` is decided once,
before a request is recorded: nodes of one cluster then render alike, and so do runs that resume.
"""

import functools
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.render.egl_device import DeviceKind

__all__ = ["explain_software", "resolve_render_device"]

_LOG = logging.getLogger(__name__)

_PROBE = "from rayboot.render import Renderer; print(Renderer(16).device.software)"
_PROBE_TIMEOUT_S = 60.0


def resolve_render_device(
    config: GenerateConfig,
    environment: Mapping[str, str] = os.environ,
    device_files: Path = Path("/dev"),
) -> GenerateConfig:
    """Returns the config with ``gpu`` or ``software`` in the place of ``auto``.

    It is ``gpu`` where renderers reserve a part of a GPU, or where the run is on this machine and
    a GPU of it renders. On a cluster, whose nodes are not known yet, it is ``software`` otherwise.

    Args:
        config: request for a pairs data set.
        environment: environment variables by name.
        device_files: ``/dev``.
    """
    if config.pools.render_device != "auto":
        return config
    on_this_machine = not environment.get("RAY_ADDRESS")
    on_gpu = config.pools.render_gpus > 0
    if not on_gpu and on_this_machine and _has_gpu(device_files):
        reason = explain_software()
        on_gpu = reason is None
        if reason is not None:
            _LOG.warning("renderers use the processor, not this machine's GPU: %s", reason)
    kind: DeviceKind = "gpu" if on_gpu else "software"
    return config.replace(pools=config.pools.replace(render_device=kind))


def _has_gpu(device_files: Path) -> bool:
    return (device_files / "nvidia0").exists() or any((device_files / "dri").glob("renderD*"))


@functools.cache
def explain_software() -> str | None:
    """Returns why this machine renders in software; None where a GPU renders.

    It is tried once per process, in a child: a driver may crash, and this process may train.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"a triangle was not rendered within {_PROBE_TIMEOUT_S:.0f} s"
    if done.returncode == 0 and done.stdout.strip() == "False":
        return None
    # The warning of the child's renderer, or its error.
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else "EGL lists no GPU; see rayboot doctor"
