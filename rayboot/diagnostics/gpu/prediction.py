"""The network's forward pass, the packing of its volumes, and copies."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rayboot.diagnostics.gpu.part import PartSkippedError, Workload
from rayboot.diagnostics.gpu.timing import median_seconds
from rayboot.models import VRN, VRNConfig
from rayboot.models.compilation import compile_on_gpu, explain_no_compiler
from rayboot.models.compression import coarsen_volumes, pack_bits
from rayboot.models.network_config import InferenceConfig, Precision
from rayboot.models.precision import autocast
from rayboot.models.predictor import Predictor

__all__ = [
    "create_network",
    "measure_compiled_prediction",
    "measure_prediction",
    "require_compilation",
]

_REPEATS = 5
_COPIED_MIB = 64
_CELL = 2


def create_network(workload: Workload) -> VRN:
    """Returns a network with random weights on the device; the time does not depend on them."""
    torch.manual_seed(0)
    config = VRNConfig() if workload.full_size else VRNConfig.compact()
    network = VRN(config).to(workload.device).eval()
    # PyTorch's overloads of Module.to omit memory_format without a dtype.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def measure_prediction(workload: Workload) -> dict[str, Any]:
    """Returns images per second by precision and batch size, of packing, and rates of copies."""
    device, network = torch.device(workload.device), create_network(workload)
    precisions: list[Precision] = ["float32", "bfloat16"]
    forward = {
        precision: {
            str(size): _try_batch(network, network, precision, size)
            for size in workload.forward_batches
        }
        for precision in precisions
    }
    size = workload.forward_batches[0]
    return {
        "network": "full" if workload.full_size else "compact",
        "images_per_s": forward,
        "compressed_images_per_s": _measure_compressed(network, device, size),
        **_measure_packing(network, device, size),
        **_measure_copies(device),
        "synchronisations_per_batch": _count_synchronisations(network, device, size),
    }


def require_compilation(workload: Workload) -> None:
    """Refuses where networks cannot be compiled.

    Raises:
        PartSkippedError: there is no GPU, or no compiler.
    """
    workload.require_gpu()
    if missing := explain_no_compiler():
        raise PartSkippedError(missing)


def measure_compiled_prediction(workload: Workload) -> dict[str, Any]:
    """Returns images per second of the compiled network at the middle batch size.

    Raises:
        PartSkippedError: there is no GPU, or no compiler.
    """
    require_compilation(workload)
    size = workload.forward_batches[len(workload.forward_batches) // 2]
    network = create_network(workload)
    compiled = compile_on_gpu(network, torch.device(workload.device))
    return {"batch": size, "images_per_s": _try_batch(compiled, network, "auto", size)}


def _try_batch(
    forward: Callable[..., torch.Tensor], network: VRN, precision: Precision, size: int
) -> float | str:
    """Returns images per second of the forward pass, or that the memory does not suffice."""
    device = next(network.parameters()).device
    edge = network.config.resolution
    images = torch.rand((size, 3, edge, edge), device=device)
    images = images.to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode(), autocast(device, precision):
            seconds = median_seconds(lambda: forward(images, raw=True), device, _REPEATS)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return "out of memory"
    return round(size / seconds, 1)


def _images(network: VRN, count: int) -> np.ndarray:
    size = network.config.resolution
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def _measure_compressed(network: VRN, device: torch.device, size: int) -> float:
    """Returns images per second from pixels to packed volumes on the host, four batches a call."""
    predictor, images = Predictor(network, InferenceConfig(), size), _images(network, 4 * size)
    seconds = median_seconds(
        lambda: predictor.predict_compressed(images, 0.5, _CELL), device, _REPEATS
    )
    return round(len(images) / seconds, 1)


def _measure_packing(network: VRN, device: torch.device, size: int) -> dict[str, float]:
    edge = network.config.resolution
    volumes = torch.rand((size, network.config.slices, edge, edge), device=device)
    packing = median_seconds(lambda: pack_bits(volumes, 0.5), device, _REPEATS)
    cells = median_seconds(lambda: coarsen_volumes(volumes, _CELL), device, _REPEATS)
    return {
        "packing_ms_per_volume": round(1000 * packing / size, 3),
        "cells_ms_per_volume": round(1000 * cells / size, 3),
    }


def _measure_copies(device: torch.device) -> dict[str, float]:
    """Returns the rates of copies between host and GPU, GB/s; empty on a CPU."""
    if device.type != "cuda":
        return {}
    pageable = torch.zeros(_COPIED_MIB * 2**20, dtype=torch.uint8)
    pinned, sent = pageable.pin_memory(), pageable.to(device)
    runs = {
        "to_gpu_pinned": lambda: pinned.to(device, non_blocking=True),
        "to_gpu_pageable": lambda: pageable.to(device),
        "to_host_pinned": lambda: pinned.copy_(sent, non_blocking=True),
    }
    return {
        f"{name}_gb_per_s": round(pageable.numel() / median_seconds(run, device, _REPEATS) / 1e9, 2)
        for name, run in runs.items()
    }


def _count_synchronisations(network: VRN, device: torch.device, size: int) -> float | None:
    """Returns how often the host waits for the GPU per batch of four; None on a CPU."""
    if device.type != "cuda":
        return None
    predictor, images = Predictor(network, InferenceConfig(), size), _images(network, 4 * size)
    predictor.predict_compressed(images, 0.5, _CELL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            predictor.predict_compressed(images, 0.5, _CELL)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    count = sum("synchroniz" in str(warning.message) for warning in caught)
    return count / 4
