"""When a checkpoint within an epoch is due, agreed on by all workers."""

import time
from collections.abc import Callable

import torch
import torch.distributed

__all__ = ["CheckpointSchedule"]

_INTERVAL_S = 300.0


class CheckpointSchedule:
    """Decides after which steps of an epoch a checkpoint is written.

    It is due every few steps, and after a step that ends some minutes after the last checkpoint:
    on a slow machine an epoch may be shorter than the former and take an hour.

    Args:
        num_steps: number of steps between checkpoints.
        interval_s: longest time between checkpoints, up to the end of a step.
        clock: clock in seconds.
    """

    def __init__(
        self,
        num_steps: int,
        interval_s: float = _INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_steps, self._interval_s, self._clock = num_steps, interval_s, clock
        self._written_at = clock()

    def is_due(self, step: int, device: torch.device) -> bool:
        """Whether a checkpoint follows a step; all workers call this after each, and agree.

        Args:
            step: number of steps of the epoch that are done.
            device: device of the network.
        """
        if step % self._num_steps == 0:
            return True
        return _any_worker(self._clock() - self._written_at > self._interval_s, device)

    def restart(self) -> None:
        """Counts the time from now on; to be called when a checkpoint was written."""
        self._written_at = self._clock()


def _any_worker(is_due: bool, device: torch.device) -> bool:
    """Whether it is due for one worker: a report waits for all of them."""
    if not torch.distributed.is_initialized():
        return is_due
    flag = torch.tensor([float(is_due)], device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)
