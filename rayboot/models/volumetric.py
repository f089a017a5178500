"""What networks have in common whose estimates are the logits of volumes."""

import torch

from rayboot.models.losses import voxel_cross_entropy
from rayboot.models.reconstructor import Reconstructor

__all__ = ["VolumetricReconstructor"]


class VolumetricReconstructor(Reconstructor):
    """A network that predicts the logits (B, D, h, w) of a volume, h and w dividing the crop."""

    def encode(self, estimate: torch.Tensor) -> None:
        """Returns None: every pairs data set contains the bits and the depth maps of a volume."""

    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the occupancy in [0, 1] of the logits, float32."""
        return torch.sigmoid(estimate.float())

    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns the volumes with their columns in reverse order."""
        return targets.flip(-1)

    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns :func:`~rayboot.models.losses.voxel_cross_entropy`."""
        return voxel_cross_entropy(estimate, targets, weights)

    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Returns the intersection over union (B,) at 0.5; 0 where both are empty."""
        predicted = estimate > 0
        true = targets if targets.dtype == torch.bool else targets >= 0.5
        union = (predicted | true).sum(dim=(1, 2, 3)).clamp(min=1)
        return (predicted & true).sum(dim=(1, 2, 3)) / union
