"""Training steps at full batch size: their rate, their parts, and the memory."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rayboot.data.images import encode_image
from rayboot.diagnostics.gpu.part import Workload
from rayboot.diagnostics.gpu.prediction import create_network, require_compilation
from rayboot.diagnostics.gpu.timing import median_seconds, synchronize
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN
from rayboot.models.compilation import compile_on_gpu
from rayboot.models.precision import autocast
from rayboot.train.loop import train_step
from rayboot.train.objective import Objective
from rayboot.train.prefetch import DeviceBatch, read_ahead
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig

__all__ = ["create_samples", "measure_compiled_training", "measure_training"]

_YAWS_DEG = (-60, -40, -20, 20, 40, 60)
_REPEATS = 3


def measure_training(workload: Workload) -> dict[str, Any]:
    """Returns images per second of whole steps, and the median milliseconds of a step's parts.

    Parts are measured one after the other, each waited for, so their sum exceeds a step in which
    the host reads ahead.
    """
    device, network = torch.device(workload.device), create_network(workload).train()
    store = create_samples(network, workload.train_batch)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    record = {"batch": workload.train_batch, **_time_steps(workload, network, network, store)}
    if device.type == "cuda":
        record["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return {**record, "parts_ms": _time_parts(network, store, device)}


def measure_compiled_training(workload: Workload) -> dict[str, Any]:
    """Returns images per second of steps of the compiled network.

    Raises:
        PartSkippedError: there is no GPU, or no compiler.
    """
    require_compilation(workload)
    network = create_network(workload).train()
    store = create_samples(network, workload.train_batch)
    compiled = compile_on_gpu(network, torch.device(workload.device))
    return {"batch": workload.train_batch, **_time_steps(workload, network, compiled, store)}


def create_samples(network: VRN, count: int) -> SampleStore:
    """Returns solids of a face's size with random images; six images share a solid.

    The time of a step does not depend on their content.
    """
    rng, config = np.random.default_rng(0), network.config
    shape = (config.slices, config.resolution, config.resolution)
    grids = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    radii = np.array(shape) * (0.26, 0.39, 0.29)
    squares = [
        ((grid - size / 2) / radius) ** 2
        for grid, size, radius in zip(grids, shape, radii, strict=True)
    ]
    target = pack_occupancy(squares[0] + squares[1] + squares[2] < 1)
    size = config.resolution
    samples = []
    for number in range(count):
        image = encode_image(rng.integers(0, 256, (size, size, 3), np.uint8), "jpeg")
        yaw = np.radians(_YAWS_DEG[number % len(_YAWS_DEG)])
        turn = np.column_stack([rotation_yaw_pitch(yaw, 0.0), np.zeros(3)])
        samples.append(Sample(image, target, turn))
    return SampleStore(samples, shape, network.decode)


def _time_steps(
    workload: Workload, network: VRN, forward: Callable[..., torch.Tensor], store: SampleStore
) -> dict[str, float]:
    device = torch.device(workload.device)
    optimizer = OptimizerConfig(batch_size=len(store), augment={"flip": True})
    state, objective = TrainState(network, optimizer, forward), Objective()
    batches = [np.arange(len(store))] * (workload.train_steps + 2)
    ends, waited_s = [], []
    for number, (batch, seconds) in enumerate(read_ahead(network, store, batches, device)):
        loss = train_step(state, batch, objective, np.random.default_rng(number))
        # As training does, which records every loss.
        float(loss)
        ends.append(time.perf_counter())
        waited_s.append(seconds)
    # The first two steps are not counted: they initialise the device's libraries.
    total_s = ends[-1] - ends[1]
    return {
        "images_per_s": round(workload.train_steps * len(store) / total_s, 1),
        "waited_for_batches": round(sum(waited_s[2:]) / total_s, 3),
    }


def _time_parts(network: VRN, store: SampleStore, device: torch.device) -> dict[str, float]:
    indices = np.arange(len(store))
    host = store.read(indices)
    packed = torch.from_numpy(np.ascontiguousarray(host.targets)).to(device)
    ((batch, _),) = read_ahead(network, store, [indices], device)
    runs: dict[str, Callable[[], object]] = {
        "host": lambda: store.read(indices),
        "targets": lambda: network.transform_targets(packed, host.transforms),
    }
    record = {name: median_seconds(run, device, _REPEATS) for name, run in runs.items()}
    record |= _time_passes(network, batch, device)
    return {name: round(1000 * seconds, 1) for name, seconds in record.items()}


def _time_passes(network: VRN, batch: DeviceBatch, device: torch.device) -> dict[str, float]:
    """Returns the median seconds of forward pass, loss and backward pass."""
    edges: list[list[float]] = []
    for _ in range(_REPEATS + 1):
        network.zero_grad(set_to_none=True)
        marks = [_now(device)]
        with autocast(device, "auto"):
            prediction = network(batch.images, raw=True)
            marks.append(_now(device))
            loss = network.loss(prediction, batch.targets)
        marks.append(_now(device))
        loss.backward()
        marks.append(_now(device))
        edges.append(list(np.diff(marks)))
    medians = np.median(edges[1:], axis=0)
    return dict(zip(("forward", "loss", "backward"), medians.tolist(), strict=True))


def _now(device: torch.device) -> float:
    synchronize(device)
    return time.perf_counter()
