"""Numeric precision of a network's forward pass."""

from contextlib import AbstractContextManager

import torch

from rayboot.models.network_config import Precision

__all__ = ["autocast", "resolve_precision"]


def resolve_precision(device: torch.device, precision: Precision) -> torch.dtype:
    """Returns the dtype of a precision on a device.

    ``auto`` is bfloat16 where the processor multiplies in it, else float32:
    elsewhere bfloat16 is emulated, and slower than float32.
    """
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        # Without the argument PyTorch counts emulation: T4 and V100 would compute in it.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if supported else torch.float32


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Returns a context in which a network's convolutions run in ``precision``."""
    dtype = resolve_precision(device, precision)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
