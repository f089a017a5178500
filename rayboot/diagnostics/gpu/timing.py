"""Times of work on a device."""

import statistics
import time
from collections.abc import Callable

import torch

__all__ = ["median_seconds", "synchronize"]


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what is queued; does nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Returns the median time of a call after one that is not counted.

    Args:
        run: function that queues work on the device.
        device: device, which has to finish after each call.
        repeats: number of counted calls.
    """
    seconds = []
    for _ in range(repeats + 1):
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
