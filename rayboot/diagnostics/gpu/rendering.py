"""Rendering: views per second of several processes, alone and beside the network, and pixels."""

import contextlib
import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Self

import numpy as np
import torch

from rayboot.diagnostics.gpu.part import Workload
from rayboot.diagnostics.gpu.prediction import create_network
from rayboot.diagnostics.gpu.rendering_process import (
    BARRIER_TIMEOUT_S,
    SIZE,
    WINDOW_S,
    create_scene,
    render_for_a_while,
)
from rayboot.models.precision import autocast
from rayboot.render import Renderer
from rayboot.render.egl_device import DeviceKind

__all__ = ["measure_rendering"]


def measure_rendering(workload: Workload) -> dict[str, Any]:
    """Returns views per second by number of processes, and the difference to software pixels."""
    record: dict[str, Any] = {"processes": {}}
    for count in workload.renderers:
        record["processes"][str(count)] = _render_with(count)
    count = workload.renderers[len(workload.renderers) // 2]
    with _RunningNetwork(workload) as network:
        record["network_images_per_s_alone"] = network.rate_over(WINDOW_S)
        record["beside_network"] = {"processes": count, **_render_with(count, network)}
    record["against_software"] = _compare_with_software()
    return record


def _render_with(count: int, network: "_RunningNetwork | None" = None) -> dict[str, Any]:
    """Returns the rate of processes, and the network's during the same seconds."""
    context = multiprocessing.get_context("spawn")
    record: dict[str, Any] = {}
    with context.Manager() as manager, ProcessPoolExecutor(count, context) as pool:
        barrier = manager.Barrier(count + 1)
        futures = [pool.submit(render_for_a_while, barrier) for _ in range(count)]
        # Where a process failed, its own error says more; it is raised below.
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(BARRIER_TIMEOUT_S)
            if network is not None:
                record["network_images_per_s"] = network.rate_over(WINDOW_S)
        done = [future.result() for future in futures]
    record["views_per_s"] = round(sum(rate for rate, _ in done), 1)
    return {**record, "egl_devices": sorted({device for _, device in done})}


class _RunningNetwork:
    """The network's forward pass in a loop, on a thread of its own, within a ``with`` block."""

    def __init__(self, workload: Workload) -> None:
        self._size, self._count, self._ended = workload.forward_batches[0], 0, False
        self._device = torch.device(workload.device)
        self._network = create_network(workload)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._run_once()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._thread.join()

    def rate_over(self, seconds: float) -> float:
        """Returns the images per second of the next ``seconds``."""
        started, before = time.perf_counter(), self._count
        time.sleep(seconds)
        return round((self._count - before) / (time.perf_counter() - started), 1)

    def _run(self) -> None:
        while not self._ended:
            self._run_once()

    def _run_once(self) -> None:
        edge = self._network.config.resolution
        images = torch.rand((self._size, 3, edge, edge), device=self._device)
        with torch.inference_mode(), autocast(self._device, "auto"):
            # Its mean is read, so that the queue never grows.
            float(self._network(images, raw=True).float().mean())
        self._count += self._size


def _compare_with_software() -> dict[str, Any]:
    """Returns how the pixels of the chosen device differ from Mesa's."""
    scene, views = create_scene()
    kinds: list[DeviceKind] = ["auto", "software"]
    renderers = [Renderer(SIZE, render_device=kind) for kind in kinds]
    if renderers[0].device.software:
        return {"device": "software", "note": "no GPU renders, so nothing is compared"}
    images = [renderer.render(scene, views).astype(int) for renderer in renderers]
    difference = np.abs(images[0] - images[1])
    return {
        "device": f"EGL device {renderers[0].device.egl_index}",
        "mean_difference": round(float(difference.mean()), 4),
        "pixels_off_by_more_than_2": round(float((difference.max(axis=-1) > 2).mean()), 5),
    }
