"""Copies of arrays to a device and back, concurrent with the device's computation.

With a GPU, both directions use page-locked memory, and only the code that needs a
copy waits for it. With a CPU nothing is copied.
"""

import numpy as np
import torch

__all__ = ["HostCopy", "to_device_async"]


def to_device_async(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Returns the array as a tensor on a device, without waiting for the copy.

    Work that is queued on the device afterwards starts when the copy is complete.

    Args:
        array: C-contiguous, writable; the caller must not change it afterwards.
        device: device of the tensor.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class HostCopy:
    """An asynchronous copy of a tensor to the host.

    Args:
        tensor: tensor on any device, whose computation may still be queued there.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self._done: torch.cuda.Event | None = None
        self._host = tensor
        if tensor.device.type == "cuda":
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record()

    def result(self) -> np.ndarray:
        """Waits for the copy and returns the array."""
        if self._done is not None:
            self._done.synchronize()
        return self._host.numpy()
