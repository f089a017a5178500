"""Changes of a batch that leave its meaning: mirroring, and the light's colour.

What is drawn is small and drawn on the host; what is changed lies on the device.
"""

from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Changes", "apply_changes", "draw_changes"]


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


def apply_changes(
    images: torch.Tensor, targets: torch.Tensor, changes: Changes
) -> tuple[torch.Tensor, torch.Tensor]:
    """A changed copy of a batch.

    Args:
        images: (B, 3, S, S) float in [0, 1].
        targets: (B, D, S, S); depth comes first, so both mirror along their last axis.
        changes: drawn for it.
    """
    device = images.device
    if changes.mirrored.any():
        chosen = torch.from_numpy(changes.mirrored).to(device)[:, None, None, None]
        images = torch.where(chosen, images.flip(-1), images)
        targets = torch.where(chosen, targets.flip(-1), targets)
    contrast, gain = (torch.from_numpy(value).to(device) for value in changes[1:])
    if bool((changes.contrast != 1).any() or (changes.gain != 1).any()):
        mean = images.mean(dim=(2, 3), keepdim=True)
        images = (((images - mean) * contrast + mean) * gain).clamp_(0, 1)
    return images, targets
