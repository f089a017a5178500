"""Throughput of the training loop with its targets; on the GPU if there is one.

python benchmarks/training.py                # compact, or --full for the released network's size
python benchmarks/training.py --workers 2    # one process, then two with half of the cores each

Samples are rotated solids with random images, since their content does not change the time. It
prints medians over turns of several steps, after a warm-up. On a GPU it also measures the limits of
the device, the rate of a large matrix product in the same precision and of a large copy, and the
fraction of the former that the network's convolutions reach.
"""

import json
import statistics
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import click
import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing.spawn import spawn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import commit, describe_machine
from rayboot.data.images import encode_image
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.volume import pack_occupancy
from rayboot.models import VRN, VRNConfig
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig

_WARM_UP = 3


class Setting(NamedTuple):
    """Settings of a measurement."""

    full: bool
    batch_size: int
    num_steps: int
    turns: int
    compile: bool


@click.command()
@click.option("--full", is_flag=True, help="Use a network of the released one's size.")
@click.option("--batch", "batch_size", default=32, show_default=True)
@click.option("--steps", "num_steps", default=8, show_default=True, help="Steps per turn.")
@click.option("--turns", default=5, show_default=True)
@click.option("--workers", "num_workers", default=1, show_default=True, help="Processes, CPU only.")
@click.option("--compile/--no-compile", default=False, show_default=True)
def main(
    full: bool, batch_size: int, num_steps: int, turns: int, num_workers: int, compile: bool
) -> None:
    """Prints one JSON object."""
    setting = Setting(full, batch_size, num_steps, turns, compile)
    record = {"commit": commit(), **describe_machine(), "torch": torch.__version__}
    record |= {"network": "full" if full else "compact", "batch": batch_size, "compile": compile}
    rates = _summarize(_time_one_process(setting))
    record["images_per_s"] = rates
    if num_workers > 1:
        together = _summarize(_time_workers(setting, num_workers))
        record[f"images_per_s_of_{num_workers}_workers"] = together
        record["ratio"] = round(together["median"] / rates["median"], 3)
    if torch.cuda.is_available():
        record |= _measure_device(setting, rates["median"])
    click.echo(json.dumps(record, indent=1))


def _summarize(rates: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(rates), 2),
        "low": round(min(rates), 2),
        "high": round(max(rates), 2),
    }


def _config(setting: Setting) -> VRNConfig:
    return VRNConfig() if setting.full else VRNConfig.compact()


def _samples(config: VRNConfig, count: int, seed: int) -> SampleStore:
    """Returns solids of a face's size; six images share a target, as in a pairs data set."""
    rng = np.random.default_rng(seed)
    size, shape = config.resolution, (config.slices, config.resolution, config.resolution)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    samples: list[Sample] = []
    while len(samples) < count:
        radii = np.array(shape) * rng.uniform((0.24, 0.36, 0.26), (0.28, 0.42, 0.32))
        solid = np.square((index - np.array(shape) / 2) / radii).sum(axis=-1) < 1
        target = pack_occupancy(solid)
        for yaw in (-60, -40, -20, 20, 40, 60):
            image = encode_image(rng.integers(0, 256, (size, size, 3), np.uint8), "jpeg")
            turn = np.column_stack([rotation_yaw_pitch(np.radians(yaw), 0.0), np.zeros(3)])
            samples.append(Sample(image, target, turn))
    return SampleStore(samples[:count], shape, VRN(config).decode)


def _time_one_process(setting: Setting) -> list[float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return _time(setting, setting.batch_size, device)


def _time(setting: Setting, batch_size: int, device: str) -> list[float]:
    """Returns the images per second of this process, by turn."""
    torch.manual_seed(0)
    config = _config(setting)
    network = VRN(config).to(device)
    num_steps = _WARM_UP + setting.num_steps * setting.turns
    store = _samples(config, batch_size * num_steps, seed=1)
    forward: Any = network
    if dist.is_initialized():
        forward = torch.nn.parallel.DistributedDataParallel(network)
    elif setting.compile:
        forward = torch.compile(network)
    optimizer = OptimizerConfig(batch_size=setting.batch_size, num_epochs=1, augment={"flip": True})
    state = TrainState(network, optimizer, forward)
    times: list[float] = []

    def on_step(done: StepRecord) -> None:
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    for _ in train_epochs(state, store, store.take(np.arange(batch_size)), on_step=on_step):
        pass
    edges = times[_WARM_UP - 1 :: setting.num_steps]
    return [setting.num_steps * batch_size / (b - a) for a, b in pairwise(edges)]


def _time_workers(setting: Setting, num_workers: int) -> list[float]:
    """Returns the images per second of all workers together, by turn."""
    with mp.Manager() as manager:
        rates = manager.dict()
        worker = partial(_worker, setting, num_workers, rates)
        spawn(worker, nprocs=num_workers)
        by_worker = [rates[rank] for rank in range(num_workers)]
    return [sum(turn) for turn in zip(*by_worker, strict=True)]


def _worker(
    setting: Setting, num_workers: int, rates: MutableMapping[int, list[float]], rank: int
) -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // num_workers))
    dist.init_process_group(
        "gloo", init_method="tcp://127.0.0.1:29531", rank=rank, world_size=num_workers
    )
    rates[rank] = _time(setting, setting.batch_size // num_workers, "cpu")
    dist.destroy_process_group()


def _measure_device(setting: Setting, images_per_s: float) -> dict[str, object]:
    """Returns limits of the GPU, and the fraction that the network's operations reach."""
    side = 8192
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product_s = _median_s(lambda: left @ right)
    flops = 2 * side**3 / product_s
    data = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    copy = torch.empty_like(data)
    bandwidth = 2 * data.numel() / _median_s(lambda: copy.copy_(data))
    network = VRN(_config(setting)).cuda()
    image = torch.rand(1, 3, network.config.resolution, network.config.resolution, device="cuda")
    with FlopCounterMode(display=False) as counter:
        network(image, raw=True).sum().backward()
    step_flops = counter.get_total_flops()
    return {
        "matrix_product_tflops": round(flops / 1e12, 1),
        "copy_gb_per_s": round(bandwidth / 1e9, 1),
        "gflop_an_image": round(step_flops / 1e9, 1),
        "fraction_of_matrix_product": round(images_per_s * step_flops / flops, 3),
    }


def _median_s(call: Callable[[], object]) -> float:
    """Returns the median duration of 15 calls on the GPU, after five for warming up."""
    spent = []
    for _ in range(20):
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent[5:])


if __name__ == "__main__":
    main()
