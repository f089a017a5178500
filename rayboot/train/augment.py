"""Data augmentation: crops, mirroring, brightness and colour, and degradations of real photos.

Parameters are drawn on the host and are small; images are changed on their device.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from rayboot.geometry.camera import rotation_in_plane
from rayboot.models.device_transfer import to_device_async
from rayboot.train.training_config import AugmentConfig

__all__ = [
    "AugmentationDraw",
    "augment_images",
    "draw_augmentation",
    "draw_crop_transforms",
    "mirror_targets",
    "warp_crops",
]


_REDUCED_FRACTION = 1 / 3
_DONOR_FRACTION = 0.5


class AugmentationDraw(NamedTuple):
    """Random parameters for a batch.

    Attributes:
        mirrored: (B,) bool, whether image and target are mirrored.
        contrast: (B, 1, 1, 1) float32, factor about the image's mean.
        gamma: (B, 1, 1, 1) float32, exponent of the image values.
        grey: (B, 1, 1, 1) bool, whether the image becomes grey.
        gain: (B, 3, 1, 1) float32, factor of each channel.
        slope: (B, 2) float32, change of the light from the middle to the right and to the top.
        blur: (B,) float32, standard deviation as a fraction of the image's width.
        noise: (B, 1, 1, 1) float32, standard deviation of the noise added to each value.
        boxes: (B, 4) float32, left, top, right, bottom of the occluding rectangle, as fractions
            of the width.
        paint: (B, 3, 1, 1) float32, colour of the rectangle.
        donor: (B,) int64, image of the batch whose pixels fill the rectangle; -1 for its colour.
        reduction: (B,) float32, factor by which the image is reduced and enlarged again.
        seed: seed of the noise.
    """

    mirrored: np.ndarray
    contrast: np.ndarray
    gamma: np.ndarray
    grey: np.ndarray
    gain: np.ndarray
    slope: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    boxes: np.ndarray
    paint: np.ndarray
    donor: np.ndarray
    reduction: np.ndarray
    seed: int


def draw_augmentation(
    rng: np.random.Generator, num_samples: int, config: AugmentConfig
) -> AugmentationDraw:
    """Draws the parameters for ``num_samples`` samples.

    Args:
        rng: random generator.
        num_samples: number of samples in the batch.
        config: kinds and strengths of the changes.
    """
    mirrored = rng.random(num_samples) < (0.5 if config.flip else 0.0)
    spread = config.color_jitter
    gain = rng.uniform(1 - spread, 1 + spread, (num_samples, 1, 1, 1))
    tint = rng.uniform(1 - spread / 2, 1 + spread / 2, (num_samples, 3, 1, 1))
    contrast = rng.uniform(1 - spread, 1 + spread, (num_samples, 1, 1, 1))
    gamma = np.exp(rng.uniform(-config.gamma, config.gamma, (num_samples, 1, 1, 1)))
    is_reduced = rng.random(num_samples) < _REDUCED_FRACTION
    donor = rng.integers(num_samples, size=num_samples)
    angle = rng.uniform(0, 2 * np.pi, num_samples)
    strength = rng.uniform(0, config.light, num_samples)
    slope = np.stack([strength * np.cos(angle), strength * np.sin(angle)], axis=1)
    return AugmentationDraw(
        mirrored,
        contrast=contrast.astype(np.float32),
        gamma=gamma.astype(np.float32),
        grey=rng.random((num_samples, 1, 1, 1)) < config.grey,
        gain=(gain * tint).astype(np.float32),
        slope=slope.astype(np.float32),
        blur=rng.uniform(0, config.blur, num_samples).astype(np.float32),
        noise=rng.uniform(0, config.noise, (num_samples, 1, 1, 1)).astype(np.float32),
        boxes=_draw_boxes(rng, num_samples, config.occlusion).astype(np.float32),
        paint=rng.uniform(0, 1, (num_samples, 3, 1, 1)).astype(np.float32),
        donor=np.where(rng.random(num_samples) < _DONOR_FRACTION, donor, -1),
        reduction=np.where(is_reduced, rng.uniform(1, config.reduction, num_samples), 1).astype(
            np.float32
        ),
        seed=int(rng.integers(2**31)),
    )


def draw_crop_transforms(
    rng: np.random.Generator, num_samples: int, config: AugmentConfig, crop_size: int
) -> np.ndarray | None:
    """Draws transforms (B, 3, 4) float64 of crops in their frame, px; None where there are none.

    Args:
        rng: random generator.
        num_samples: number of samples in the batch.
        config: kinds and strengths of the changes.
        crop_size: width of the crops, px.
    """
    if not (config.crop_shift or config.crop_scale or config.crop_roll_deg):
        return None
    scale = 1 + rng.uniform(-config.crop_scale, config.crop_scale, num_samples)
    rolls = np.radians(config.crop_roll_deg) * rng.uniform(-1, 1, num_samples)
    shift = config.crop_shift * crop_size * rng.uniform(-1, 1, (num_samples, 2))
    transforms = np.zeros((num_samples, 3, 4))
    transforms[:, :, :3] = np.stack([rotation_in_plane(roll) for roll in rolls])
    transforms[:, :, :3] *= scale[:, None, None]
    transforms[:, :2, 3] = shift
    return transforms


def warp_crops(images: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
    """Returns images (B, 3, S, S) moved by transforms that :func:`draw_crop_transforms` draws.

    What comes into view beyond the border is a reflection of the image.
    """
    size = images.shape[-1]
    linear = np.linalg.inv(transforms[:, :2, :2])
    shift = -np.einsum("bij,bj->bi", linear, transforms[:, :2, 3]) * (2 / size)
    # Rows grow downward, so y changes its sign.
    sign = np.array([1.0, -1.0])
    linear, shift = linear * sign[:, None] * sign, shift * sign
    affine = np.concatenate([linear, shift[:, :, None]], axis=2).astype(np.float32)
    grid = functional.affine_grid(_to_device_of(images, affine), list(images.shape), False)
    warped = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return warped.contiguous(memory_format=torch.channels_last)


def _draw_boxes(rng: np.random.Generator, num_samples: int, max_fraction: float) -> np.ndarray:
    """Draws rectangles that cover at most a fraction of the image; every second one is empty."""
    area = rng.uniform(0, max_fraction, num_samples) * (rng.random(num_samples) < 0.5)
    aspect = np.exp(rng.uniform(-0.7, 0.7, num_samples))
    sides = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1)
    centres = rng.uniform(0, 1, (num_samples, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def augment_images(images: torch.Tensor, draw: AugmentationDraw) -> torch.Tensor:
    """Returns augmented images; targets are mirrored by :func:`mirror_targets`.

    Args:
        images: (B, 3, S, S) float in [0, 1]. Returned itself where nothing changes.
        draw: parameters for this batch.
    """
    if draw.mirrored.any():
        images = torch.where(_mirror_mask(draw, images), images.flip(-1), images)
    if (draw.gamma != 1).any():
        images = images.clamp(min=1e-4) ** _to_device_of(images, draw.gamma)
    if draw.grey.any():
        grey = to_device_async(draw.grey, images.device)
        images = torch.where(grey, images.mean(dim=1, keepdim=True), images)
    if (draw.contrast != 1).any() or (draw.gain != 1).any():
        mean = images.mean(dim=(2, 3), keepdim=True)
        contrast, gain = (_to_device_of(images, values) for values in (draw.contrast, draw.gain))
        images = (((images - mean) * contrast + mean) * gain).clamp_(0, 1)
    if draw.slope.any():
        images = (images * _light_gradient(draw.slope, images)).clamp_(0, 1)
    if (draw.boxes[:, 2:] > draw.boxes[:, :2]).any():
        donors = to_device_async(np.maximum(draw.donor, 0), images.device)
        has_donor = to_device_async(draw.donor >= 0, images.device)[:, None, None, None]
        paint = torch.where(has_donor, images[donors], _to_device_of(images, draw.paint))
        images = torch.where(_box_mask(draw.boxes, images), paint, images)
    # Blur precedes noise, as a camera's lens precedes its sensor.
    if draw.blur.any():
        images = _blur(images, draw.blur)
    if (draw.reduction > 1).any():
        images = _reduce(images, draw.reduction)
    if draw.noise.any():
        generator = torch.Generator(images.device).manual_seed(draw.seed)
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = (images + noise * _to_device_of(images, draw.noise)).clamp_(0, 1)
    return images


def _reduce(images: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """Returns each image reduced by its factor and enlarged again, all by bilinear sampling."""
    size = images.shape[-1]
    reduced = images.clone()
    for index in np.flatnonzero(factors > 1):
        small = functional.interpolate(
            images[index : index + 1],
            size=max(8, round(size / float(factors[index]))),
            mode="bilinear",
            antialias=True,
        )
        reduced[index] = functional.interpolate(small, size=size, mode="bilinear")[0]
    return reduced


def mirror_targets(
    targets: torch.Tensor, mirror: Callable[[torch.Tensor], torch.Tensor], draw: AugmentationDraw
) -> torch.Tensor:
    """Returns targets (B, ...), mirrored where their image is.

    Args:
        targets: targets in the frames of their views.
        mirror: the network's function that mirrors a whole batch of targets.
        draw: parameters for this batch.
    """
    if not draw.mirrored.any():
        return targets
    return torch.where(_mirror_mask(draw, targets), mirror(targets), targets)


def _mirror_mask(draw: AugmentationDraw, tensor: torch.Tensor) -> torch.Tensor:
    """Returns a mask (B, 1, ...) bool that broadcasts to ``tensor``."""
    mask = to_device_async(draw.mirrored, tensor.device)
    return mask.view(-1, *[1] * (tensor.ndim - 1))


def _to_device_of(images: torch.Tensor, values: np.ndarray) -> torch.Tensor:
    return to_device_async(values, images.device)


def _pixel_centres(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Column (1, 1, 1, S) and row (1, 1, S, 1) of pixel centres, as fractions of the width."""
    size = images.shape[-1]
    axis = (torch.arange(size, device=images.device) + 0.5) / size
    return axis[None, None, None, :], axis[None, None, :, None]


def _light_gradient(slope: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """Factors (B, 1, S, S) of a light that grows towards one side and is 1 in the middle."""
    right, up = _to_device_of(images, slope).T[:, :, None, None, None]
    column, row = _pixel_centres(images)
    factors: torch.Tensor = 1 + right * (2 * column - 1) + up * (1 - 2 * row)
    return factors


def _box_mask(boxes: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """Mask (B, 1, S, S) bool of the pixels that a rectangle covers."""
    left, top, right, bottom = _to_device_of(images, boxes).T[:, :, None, None, None]
    column, row = _pixel_centres(images)
    mask: torch.Tensor = (column >= left) & (column < right) & (row >= top) & (row < bottom)
    return mask


def _blur(images: torch.Tensor, blur: np.ndarray) -> torch.Tensor:
    """Convolves each image with a Gaussian of its own, first along rows, then along columns."""
    num_images, channels, size = images.shape[:3]
    sigma = _to_device_of(images, np.maximum(blur, 1e-3)) * size
    radius = max(1, int(np.ceil(3 * blur.max() * size)))
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = images.reshape(1, num_images * channels, size, size)
    for kernel, padding in (
        (weights[:, None, None, :], (radius, radius, 0, 0)),
        (weights[:, None, :, None], (0, 0, radius, radius)),
    ):
        padded = functional.pad(planes, padding, mode="replicate")
        planes = functional.conv2d(padded, kernel, groups=num_images * channels)
    return planes.reshape(images.shape).contiguous(memory_format=torch.channels_last)
