"""What training minimises."""

from typing import Any

import torch
from torch.nn import functional

from rayboot.errors import ShapeError

__all__ = ["voxel_cross_entropy"]


def voxel_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean cross-entropy over voxels, the loss of VRN.

    Args:
        logits: (B, D, H, W), before the sigmoid.
        targets: (B, D, H, W), bool or in [0, 1].
        weights: (B,) float32 that multiply each volume's share; None is all ones.

    Returns:
        A scalar, nats a voxel, float32.

    Raises:
        ShapeError: the two differ in shape.
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"targets must have the logits' shape {tuple(logits.shape)}, got "
            f"{tuple(targets.shape)}; targets come from the same resolution and slices"
        )
    return _VoxelCrossEntropy.apply(logits, targets, weights)


_CHUNK = {"cpu": 2**18, "cuda": 2**26}
"""Voxels taken at a time: on a CPU what the cache holds, on a GPU what spares memory."""


class _VoxelCrossEntropy(torch.autograd.Function):
    """Value and gradient in one pass, a chunk of voxels at a time.

    The textbook expression goes over the whole batch a dozen times; a volume is
    large, and on a CPU that takes as long as all convolutions together.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        logits = logits.contiguous()
        gradient = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        if weights is None:
            _add_up(total, logits, targets, gradient)
        else:
            for sample, weight in enumerate(weights):
                part = torch.zeros_like(total)
                _add_up(part, logits[sample], targets[sample], gradient[sample])
                total += part * weight
                gradient[sample] *= weight
        ctx.save_for_backward(gradient)
        ctx.count = logits.numel()
        return (total / logits.numel()).float()

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # Its only use: scaled in place, since another pass is what this avoids.
        return gradient.mul_(upstream / ctx.count), None, None


def _add_up(
    total: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, gradient: torch.Tensor
) -> None:
    """Adds the loss of all voxels to ``total`` and writes its slope at each to ``gradient``."""
    size = _CHUNK.get(logits.device.type, 2**18)
    chunks = (tensor.reshape(-1).split(size) for tensor in (logits, targets, gradient))
    for logit, target, slope in zip(*chunks, strict=True):
        value, wanted = logit.float(), target.float()
        # Subtracted voxel by voxel: the difference of two sums would lose small losses.
        total += functional.softplus(value).addcmul_(value, wanted, value=-1).sum()
        # Not in place: float32 logits are the caller's own.
        slope.copy_(torch.sigmoid(value).sub_(wanted))
