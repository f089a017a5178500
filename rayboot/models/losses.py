"""Losses that training minimises."""

import itertools
from typing import Any

import torch
from torch.nn import functional

from rayboot.errors import ShapeError
from rayboot.geometry.camera import SLICES_PER_PIXEL

__all__ = ["depth_gradient_loss", "voxel_cross_entropy"]

_MAX_SLOPE = 6.0
"""Largest slope of the true depth that is compared, px per column: steeper are the sides of a
solid, and the edges of what hides another part."""
_SCALES = (1, 2, 4)
"""Distances, in columns, over which differences of depth are compared."""


def voxel_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Returns the mean binary cross-entropy over voxels, the loss of VRN.

    Args:
        logits: (B, D, H, W), before the sigmoid.
        targets: (B, D, H, W), bool or in [0, 1].
        weights: (B,) float32 factors on the loss of each volume; None stands for ones.

    Returns:
        A float32 scalar, nats per voxel.

    Raises:
        ShapeError: logits and targets differ in shape.
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"targets must have the logits' shape {tuple(logits.shape)}, got "
            f"{tuple(targets.shape)}; use targets of the network's resolution and slices"
        )
    # PyTorch does not annotate Function.apply.
    loss: torch.Tensor = _VoxelCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits, targets, weights
    )
    return loss


def depth_gradient_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Returns the mean absolute error of the slopes of the front surface.

    A cross-entropy over voxels is dominated by what a photo does not show, how far the whole face
    lies along the depth axis; a detail of half a pixel hardly counts. Differences of
    depth between columns do not depend on that. The depth of a column is its
    expected thickness, because the back of a solid is smooth.

    Args:
        logits: (B, D, h, w), before the sigmoid.
        targets: (B, D, h, w), bool or in [0, 1].
        weights: (B,) float32 factors on the loss of each volume; None stands for ones.

    Returns:
        A float32 scalar, px of depth per column of distance; 0 where no column is occupied.

    Raises:
        ShapeError: logits and targets differ in shape.

    Source:
        Li and Snavely, MegaDepth: Learning Single-View Depth Prediction from Internet Photos,
        CVPR 2018 (multi-scale gradient matching).
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"targets must have the logits' shape {tuple(logits.shape)}, got {tuple(targets.shape)}"
        )
    predicted = torch.sigmoid(logits.float()).sum(dim=1) / SLICES_PER_PIXEL
    true = targets.float().sum(dim=1) / SLICES_PER_PIXEL
    difference = predicted - true
    factors = torch.ones_like(true[:, 0, 0]) if weights is None else weights.float()
    total = count = torch.zeros((), device=logits.device)
    for scale, axis in itertools.product(_SCALES, (1, 2)):
        near, far = _neighbours(true, scale, axis)
        first, second = _neighbours(difference, scale, axis)
        is_surface = (near > 0) & (far > 0) & ((far - near).abs() < _MAX_SLOPE * scale)
        mask = is_surface * factors[:, None, None]
        total = total + ((second - first).abs() * mask).sum() / scale
        count = count + is_surface.sum()
    return total / count.clamp(min=1.0)


def _neighbours(maps: torch.Tensor, scale: int, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the values of all pairs of columns ``scale`` apart along an axis."""
    count = max(0, maps.shape[axis] - scale)
    return maps.narrow(axis, 0, count), maps.narrow(axis, maps.shape[axis] - count, count)


_CHUNK_SIZE = {"cpu": 2**18, "cuda": 2**26}
"""Number of voxels per chunk: on a CPU what fits the cache, on a GPU what limits memory."""


class _VoxelCrossEntropy(torch.autograd.Function):
    """Computes value and gradient in one pass, a chunk of voxels at a time.

    The textbook expression reads the whole batch a dozen times; a volume is large,
    and on a CPU that takes as long as all convolutions together.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        logits = logits.contiguous()
        gradient = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        if weights is None:
            _accumulate(total, logits, targets, gradient)
        else:
            for sample, weight in enumerate(weights):
                part = torch.zeros_like(total)
                _accumulate(part, logits[sample], targets[sample], gradient[sample])
                total += part * weight
                gradient[sample] *= weight
        ctx.save_for_backward(gradient)
        ctx.count = logits.numel()
        return (total / logits.numel()).float()

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # The gradient has no other use and is scaled in place, which saves another pass.
        return gradient.mul_(upstream / ctx.count), None, None


def _accumulate(
    total: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, gradient: torch.Tensor
) -> None:
    """Adds the loss of all voxels to ``total`` and writes its derivatives to ``gradient``."""
    size = _CHUNK_SIZE.get(logits.device.type, 2**18)
    chunks = (tensor.reshape(-1).split(size) for tensor in (logits, targets, gradient))
    for logit, target, derivative in zip(*chunks, strict=True):
        logit32, target32 = logit.float(), target.float()
        # Subtracted voxel by voxel, because the difference of two sums would lose small losses.
        total += functional.softplus(logit32).addcmul_(logit32, target32, value=-1).sum()
        # Not in place on the logits: if they are float32, they are the caller's own.
        derivative.copy_(torch.sigmoid(logit32).sub_(target32))
