"""Copies of arrays to a device and back, concurrent with the device's computation.

With a GPU, copies use page-locked memory and a stream of their own, so that one batch is copied
while another is computed, and only the code that needs a copy waits for it. With a CPU nothing
is copied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

__all__ = [
    "CudaSideStream",
    "HostCopy",
    "Ready",
    "SideStream",
    "open_side_stream",
    "to_device_async",
]


def to_device_async(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Returns the array as a tensor on a device, without waiting for the copy.

    Work that is queued on the same stream afterwards starts when the copy is complete.

    Args:
        array: C-contiguous, writable; the caller must not change it afterwards.
        device: device of the tensor.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Ready(Protocol):
    """The end of the work that was queued on a side stream up to some moment."""

    def before_next(self, *tensors: torch.Tensor) -> None:
        """Makes the work that the caller queues next start after it.

        Args:
            tensors: results of the side stream that this work reads; their memory is not reused
                before it is done.
        """

    def synchronize(self) -> None:
        """Waits on the host until it is done."""


class SideStream(Protocol):
    """A queue of a device that runs beside the caller's current one."""

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Queues the work of a ``with`` block here instead of on the current stream."""

    def after_current(self, *tensors: torch.Tensor) -> None:
        """Makes work that is queued here next start after what the current stream has queued.

        Args:
            tensors: results of the current stream that this work reads.
        """

    def mark(self) -> Ready:
        """Returns the end of what is queued here so far."""


class _CudaReady:
    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event()
        self._event.record(stream)

    def before_next(self, *tensors: torch.Tensor) -> None:
        current = torch.cuda.current_stream()
        current.wait_event(self._event)
        for tensor in tensors:
            tensor.record_stream(current)

    def synchronize(self) -> None:
        self._event.synchronize()


class CudaSideStream:
    """A :class:`SideStream` of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Queues the work of a ``with`` block on this stream."""
        with torch.cuda.stream(self._stream):
            yield

    def after_current(self, *tensors: torch.Tensor) -> None:
        """Makes later work of this stream start after the current stream's."""
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        for tensor in tensors:
            tensor.record_stream(self._stream)

    def mark(self) -> _CudaReady:
        """Returns the end of what is queued on this stream."""
        return _CudaReady(self._stream)


def open_side_stream(device: torch.device) -> SideStream | None:
    """Returns a new side stream of a device; None where there are no streams, as on a CPU."""
    return CudaSideStream(device) if device.type == "cuda" else None


class HostCopy:
    """An asynchronous copy of a tensor to the host.

    Args:
        tensor: tensor on any device, whose computation may still be queued there.
        stream: side stream for the copy; None where the tensor is on the host.
    """

    def __init__(self, tensor: torch.Tensor, stream: SideStream | None) -> None:
        self._ready: Ready | None = None
        self._host = tensor
        if stream is not None:
            self._host = torch.empty(
                tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda"
            )
            stream.after_current(tensor)
            with stream.queued():
                self._host.copy_(tensor, non_blocking=True)
            self._ready = stream.mark()

    def result(self) -> np.ndarray:
        """Waits for the copy and returns the array."""
        if self._ready is not None:
            self._ready.synchronize()
        return self._host.numpy()
