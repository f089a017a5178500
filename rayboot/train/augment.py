"""Changes of a batch that leave its meaning: mirroring, and the light's colour.

What is drawn is small and drawn on the host; what is changed lies on the device.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Changes", "apply_changes", "draw_changes", "mirror_chosen"]


class Changes(NamedTuple):
    """What is drawn for a batch.

    Attributes:
        mirrored: (B,) bool.
        contrast: (B, 1, 1, 1) float32 about the picture's mean.
        gain: (B, 3, 1, 1) float32 on each channel.
    """

    mirrored: np.ndarray
    contrast: np.ndarray
    gain: np.ndarray


def draw_changes(
    rng: np.random.Generator, count: int, *, flip: bool, color_jitter: float
) -> Changes:
    """Draws for ``count`` samples.

    Args:
        rng: source of chance.
        count: of samples.
        flip: mirror a random half, image and volume alike.
        color_jitter: largest relative change of brightness, contrast and channels.
    """
    mirrored = rng.random(count) < (0.5 if flip else 0.0)
    spread = color_jitter
    gain = rng.uniform(1 - spread, 1 + spread, (count, 1, 1, 1))
    tint = rng.uniform(1 - spread / 2, 1 + spread / 2, (count, 3, 1, 1))
    contrast = rng.uniform(1 - spread, 1 + spread, (count, 1, 1, 1))
    return Changes(mirrored, contrast.astype(np.float32), (gain * tint).astype(np.float32))


def apply_changes(images: torch.Tensor, changes: Changes) -> torch.Tensor:
    """A changed copy of pictures; the targets of those mirrored are the caller's affair.

    Args:
        images: (B, 3, S, S) float in [0, 1].
        changes: drawn for them.
    """
    device = images.device
    if changes.mirrored.any():
        images = torch.where(_chosen(changes, images), images.flip(-1), images)
    contrast, gain = (torch.from_numpy(value).to(device) for value in changes[1:])
    if bool((changes.contrast != 1).any() or (changes.gain != 1).any()):
        mean = images.mean(dim=(2, 3), keepdim=True)
        images = (((images - mean) * contrast + mean) * gain).clamp_(0, 1)
    return images


def mirror_chosen(
    targets: torch.Tensor, mirror: Callable[[torch.Tensor], torch.Tensor], changes: Changes
) -> torch.Tensor:
    """Targets (B, ...) with those mirrored whose picture is.

    Args:
        targets: turned.
        mirror: of the network, for all of a batch.
        changes: drawn for it.
    """
    if not changes.mirrored.any():
        return targets
    return torch.where(_chosen(changes, targets), mirror(targets), targets)


def _chosen(changes: Changes, like: torch.Tensor) -> torch.Tensor:
    chosen = torch.from_numpy(changes.mirrored).to(like.device)
    return chosen.view(-1, *[1] * (like.ndim - 1))
