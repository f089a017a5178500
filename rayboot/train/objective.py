"""What a step minimises: the network's loss, and what it said before of unrotated photos."""

import torch

from rayboot.models import Reconstructor
from rayboot.train.train_state import TrainState

__all__ = ["Objective"]


class Objective:
    """The loss of a batch.

    Unrotated photos keep their targets, or where there is a teacher they learn what it
    says of them, in shades instead of bits: learning without forgetting, which the paper
    suggests against the loss at the front.

    Args:
        teacher: the network as it was before training; None leaves every sample its target.
        weight: of the samples that learn from it, against the others.

    Source:
        Li and Hoiem, Learning without Forgetting, ECCV 2016.
    """

    def __init__(self, teacher: Reconstructor | None = None, weight: float = 0.0) -> None:
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self._weight = weight

    def loss(
        self,
        state: TrainState,
        images: torch.Tensor,
        targets: torch.Tensor,
        is_source: torch.Tensor,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        """A scalar.

        Args:
            state: whose network is asked.
            images: (B, 3, S, S), changed already.
            targets: likewise.
            is_source: (B,) bool on the host, which are unrotated photos.
            weights: (B,) of the samples; None is all ones.
        """
        estimate = state.forward(images, raw=True)
        if self._teacher is None or not is_source.any():
            return state.network.loss(estimate, targets, weights)
        with torch.no_grad():
            said = state.network.soft_targets(self._teacher(images[is_source], raw=True))
        total = self._weight * state.network.loss(estimate[is_source], said) * is_source.sum()
        if not is_source.all():
            rest = None if weights is None else weights[~is_source]
            total = (
                total
                + state.network.loss(estimate[~is_source], targets[~is_source], rest)
                * (~is_source).sum()
            )
        return total / len(is_source)
