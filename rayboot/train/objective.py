"""The function that a training step minimises: the network's loss, optionally with distillation."""

import numpy as np
import torch

from rayboot.models import Reconstructor
from rayboot.models.device_transfer import to_device_async
from rayboot.models.losses import depth_gradient_loss
from rayboot.train.train_state import TrainState

__all__ = ["Objective"]


class Objective:
    """The loss of a batch.

    With a teacher, unrotated photos learn the teacher's soft prediction instead of their binary
    target: learning without forgetting, which the paper suggests against the loss of accuracy
    on frontal faces.

    Args:
        teacher: the network before training; None trains every sample on its own target.
        weight: weight of the distilled samples relative to the others.
        depth_gradient: weight of :func:`~rayboot.models.losses.depth_gradient_loss` beside the
            network's own loss; only networks that predict volumes have it.

    Source:
        Li and Hoiem, Learning without Forgetting, ECCV 2016.
    """

    def __init__(
        self,
        teacher: Reconstructor | None = None,
        weight: float = 0.0,
        depth_gradient: float = 0.0,
    ) -> None:
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self._weight = weight
        self._depth_gradient = depth_gradient

    def loss(
        self,
        state: TrainState,
        images: torch.Tensor,
        targets: torch.Tensor,
        is_source: np.ndarray,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        """Computes the scalar loss of a batch.

        Args:
            state: holds the network to train.
            images: (B, 3, S, S), augmented.
            targets: (B, ...), mirrored where the image is.
            is_source: (B,) bool on the host, True for unrotated photos.
            weights: (B,) weights of the samples; None weighs all alike.
        """
        prediction = state.forward(images, raw=True)
        if self._teacher is None or not is_source.any():
            return self._loss(state.network, prediction, targets, weights)
        # Indices from the host: a mask on the device would have to be counted there first.
        sources, views = (
            to_device_async(np.flatnonzero(mask), images.device) for mask in (is_source, ~is_source)
        )
        with torch.no_grad():
            soft = state.network.soft_targets(self._teacher(images[sources], raw=True))
        total = self._weight * self._loss(state.network, prediction[sources], soft) * len(sources)
        if len(views):
            view_weights = None if weights is None else weights[views]
            loss = self._loss(state.network, prediction[views], targets[views], view_weights)
            total = total + loss * len(views)
        return total / len(is_source)

    def _loss(
        self,
        network: Reconstructor,
        prediction: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        loss = network.loss(prediction, targets, weights)
        if not self._depth_gradient:
            return loss
        return loss + self._depth_gradient * depth_gradient_loss(prediction, targets, weights)
