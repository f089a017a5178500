"""Changes of a batch that leave its meaning: mirroring, light, and what spoils photographs.

What is drawn is small and drawn on the host; what is changed lies on the device.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from rayboot.train.training_config import AugmentConfig

__all__ = ["AugmentationDraw", "augment_images", "draw_augmentation", "mirror_chosen"]


class AugmentationDraw(NamedTuple):
    """What is drawn for a batch.

    Attributes:
        mirrored: (B,) bool.
        contrast: (B, 1, 1, 1) float32 about the picture's mean.
        gain: (B, 3, 1, 1) float32 on each channel.
        slope: (B, 2) float32, change of the light from the middle to the right and to the top.
        blur: (B,) float32, standard deviation in shares of the width.
        noise: (B, 1, 1, 1) float32, standard deviation of what each value is moved by.
        boxes: (B, 4) float32, left, top, right, bottom of what is hidden, shares of the width.
        paint: (B, 3, 1, 1) float32, what hides it.
        seed: of the noise.
    """

    mirrored: np.ndarray
    contrast: np.ndarray
    gain: np.ndarray
    slope: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    boxes: np.ndarray
    paint: np.ndarray
    seed: int


def draw_augmentation(
    rng: np.random.Generator, count: int, config: AugmentConfig
) -> AugmentationDraw:
    """Draws for ``count`` samples.

    Args:
        rng: source of chance.
        count: of samples.
        config: how much of what.
    """
    mirrored = rng.random(count) < (0.5 if config.flip else 0.0)
    spread = config.color_jitter
    gain = rng.uniform(1 - spread, 1 + spread, (count, 1, 1, 1))
    tint = rng.uniform(1 - spread / 2, 1 + spread / 2, (count, 3, 1, 1))
    contrast = rng.uniform(1 - spread, 1 + spread, (count, 1, 1, 1))
    angle = rng.uniform(0, 2 * np.pi, count)
    strength = rng.uniform(0, config.light, count)
    slope = np.stack([strength * np.cos(angle), strength * np.sin(angle)], axis=1)
    return AugmentationDraw(
        mirrored,
        contrast=contrast.astype(np.float32),
        gain=(gain * tint).astype(np.float32),
        slope=slope.astype(np.float32),
        blur=rng.uniform(0, config.blur, count).astype(np.float32),
        noise=rng.uniform(0, config.noise, (count, 1, 1, 1)).astype(np.float32),
        boxes=_draw_boxes(rng, count, config.occlusion).astype(np.float32),
        paint=rng.uniform(0, 1, (count, 3, 1, 1)).astype(np.float32),
        seed=int(rng.integers(2**31)),
    )


def _draw_boxes(rng: np.random.Generator, count: int, most: float) -> np.ndarray:
    """Rectangles of up to a share of the picture, every second one empty."""
    area = rng.uniform(0, most, count) * (rng.random(count) < 0.5)
    aspect = np.exp(rng.uniform(-0.7, 0.7, count))
    sides = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1)
    centres = rng.uniform(0, 1, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def augment_images(images: torch.Tensor, changes: AugmentationDraw) -> torch.Tensor:
    """A changed copy of pictures; the targets of those mirrored are the caller's affair.

    Args:
        images: (B, 3, S, S) float in [0, 1].
        changes: drawn for them.
    """
    if changes.mirrored.any():
        images = torch.where(_chosen(changes, images), images.flip(-1), images)
    if (changes.contrast != 1).any() or (changes.gain != 1).any():
        mean = images.mean(dim=(2, 3), keepdim=True)
        contrast, gain = (_like(values, images) for values in (changes.contrast, changes.gain))
        images = (((images - mean) * contrast + mean) * gain).clamp_(0, 1)
    if changes.slope.any():
        images = (images * _ramp(changes.slope, images)).clamp_(0, 1)
    if (changes.boxes[:, 2:] > changes.boxes[:, :2]).any():
        images = torch.where(_hidden(changes.boxes, images), _like(changes.paint, images), images)
    # A camera's lens comes before its sensor.
    if changes.blur.any():
        images = _blurred(images, changes.blur)
    if changes.noise.any():
        chance = torch.Generator(images.device).manual_seed(changes.seed)
        grain = torch.randn(images.shape, generator=chance, device=images.device)
        images = (images + grain * _like(changes.noise, images)).clamp_(0, 1)
    return images


def mirror_chosen(
    targets: torch.Tensor, mirror: Callable[[torch.Tensor], torch.Tensor], changes: AugmentationDraw
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


def _chosen(changes: AugmentationDraw, like: torch.Tensor) -> torch.Tensor:
    chosen = torch.from_numpy(changes.mirrored).to(like.device)
    return chosen.view(-1, *[1] * (like.ndim - 1))


def _like(values: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(images.device)


def _places(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Column (1, 1, 1, S) and row (1, 1, S, 1) of each pixel's middle, shares of the width."""
    size = images.shape[-1]
    axis = (torch.arange(size, device=images.device) + 0.5) / size
    return axis[None, None, None, :], axis[None, None, :, None]


def _ramp(slope: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, S, S) factors of a light that grows to one side, 1 in the middle."""
    right, up = _like(slope, images).T[:, :, None, None, None]
    column, row = _places(images)
    return 1 + right * (2 * column - 1) + up * (1 - 2 * row)


def _hidden(boxes: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, S, S) bool, what a rectangle covers."""
    left, top, right, bottom = _like(boxes, images).T[:, :, None, None, None]
    column, row = _places(images)
    return (column >= left) & (column < right) & (row >= top) & (row < bottom)


def _blurred(images: torch.Tensor, blur: np.ndarray) -> torch.Tensor:
    """Each picture with its own Gaussian, rows and columns one after the other."""
    count, channels, size = images.shape[:3]
    sigma = _like(np.maximum(blur, 1e-3), images) * size
    reach = max(1, int(np.ceil(3 * blur.max() * size)))
    steps = torch.arange(-reach, reach + 1, device=images.device)
    weights = torch.exp(-0.5 * (steps / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = images.reshape(1, count * channels, size, size)
    for kernel, pad in (
        (weights[:, None, None, :], (reach, reach, 0, 0)),
        (weights[:, None, :, None], (0, 0, reach, reach)),
    ):
        padded = functional.pad(planes, pad, mode="replicate")
        planes = functional.conv2d(padded, kernel, groups=count * channels)
    return planes.reshape(images.shape).contiguous(memory_format=torch.channels_last)
