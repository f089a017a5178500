"""Arrays to a device and back, beside what the device computes meanwhile.

On a GPU both ways go through page-locked memory, and nobody waits for a copy but who
needs it. On a CPU there is nothing to copy.
"""

import numpy as np
import torch

__all__ = ["HostCopy", "send"]


def send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on a device; what is computed there next comes after the copy.

    Args:
        array: C-contiguous, writable; not to be changed by the caller any more.
        device: of the tensor.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class HostCopy:
    """A tensor that is being copied to the host.

    Args:
        tensor: on any device; computed, or about to be.
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
        """The array, waited for."""
        if self._done is not None:
            self._done.synchronize()
        return self._host.numpy()
