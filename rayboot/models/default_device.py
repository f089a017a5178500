"""The device that a network runs on in a process of its own, where no config names one."""

import torch

__all__ = ["default_device"]


def default_device() -> torch.device:
    """Returns the first GPU that CUDA shows to this process, else the CPU.

    For work in the user's own process only: Ray's actors use the GPUs that they reserved.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
