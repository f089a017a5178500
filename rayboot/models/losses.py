"""What training minimises."""

from typing import Any

import torch
from torch.nn import functional

__all__ = ["voxel_cross_entropy"]


def voxel_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over voxels, the loss of VRN.

    Args:
        logits: (B, D, H, W), before the sigmoid.
        targets: (B, D, H, W), bool or in [0, 1].

    Returns:
        A scalar, nats a voxel, float32.
    """
    return _VoxelCrossEntropy.apply(logits, targets)


class _VoxelCrossEntropy(torch.autograd.Function):
    """Value and gradient in one pass over each sample.

    The textbook expression goes over the whole batch a dozen times; a volume is
    large, and on a CPU that takes as long as all convolutions together. A sample at a
    time stays in the cache.
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        gradient = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        for sample, target, slope in zip(logits, targets, gradient, strict=True):
            value, wanted = sample.float(), target.float()
            total += functional.binary_cross_entropy_with_logits(value, wanted, reduction="sum")
            slope.copy_(torch.sigmoid(value).sub_(wanted))
        ctx.save_for_backward(gradient)
        ctx.count = logits.numel()
        return (total / logits.numel()).float()

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        # Its only use: scaled in place, since another pass is what this avoids.
        return gradient.mul_(upstream / ctx.count), None
