import numpy as np
import torch

from rayboot.geometry.camera import pixel_from_crop, transform_points
from rayboot.train.augment import (
    augment_images,
    draw_augmentation,
    draw_crop_transforms,
    mirror_targets,
    warp_crops,
)
from rayboot.train.training_config import AugmentConfig


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, (images[:, :1] > 0.4).repeat(1, 4, 1, 1)


def test_image_and_target_are_mirrored_together() -> None:
    images, targets = batch(20)
    draw = draw_augmentation(np.random.default_rng(0), 20, AugmentConfig(flip=True))
    changed = augment_images(images, draw)
    mirrored_targets = mirror_targets(targets, lambda batch: batch.flip(-1), draw)
    mirrored = (changed != images).flatten(1).any(dim=1)
    assert 3 < mirrored.sum() < 17
    assert torch.equal(mirrored, torch.from_numpy(draw.mirrored))
    assert torch.equal(mirrored_targets, (changed[:, :1] > 0.4).repeat(1, 4, 1, 1))


def test_colour_jitter_changes_colours_only() -> None:
    images, _ = batch(6)
    draw = draw_augmentation(np.random.default_rng(0), 6, AugmentConfig(color_jitter=0.2))
    assert not draw.mirrored.any()
    changed = augment_images(images, draw)
    difference = (changed - images).abs()
    assert 0.02 < difference.mean() < 0.2
    assert (changed.min() >= 0) and (changed.max() <= 1)
    # Each image in its own way.
    assert len({round(float(value), 4) for value in difference.mean(dim=(1, 2, 3))}) == 6


def test_without_augmentation_nothing_changes() -> None:
    images, targets = batch(4)
    draw = draw_augmentation(np.random.default_rng(0), 4, AugmentConfig())
    assert augment_images(images, draw) is images
    assert mirror_targets(targets, torch.neg, draw) is targets


def augmented(images: torch.Tensor, **strengths: float) -> torch.Tensor:
    draw = draw_augmentation(np.random.default_rng(3), len(images), AugmentConfig(**strengths))
    return augment_images(images, draw)


def test_light_grows_linearly_towards_one_side() -> None:
    grey = torch.full((6, 3, 16, 16), 0.5)
    lit = augmented(grey, light=0.6)
    assert torch.allclose(lit.mean(dim=(1, 2, 3)), torch.tensor(0.5), atol=1e-4)
    # A plane: its second differences vanish, its first differ from image to image.
    assert lit.diff(n=2, dim=-1).abs().max() < 1e-4 and lit.diff(n=2, dim=-2).abs().max() < 1e-4
    slopes = {round(float(value), 5) for value in lit.diff(dim=-1).mean(dim=(1, 2, 3))}
    assert len(slopes) == 6


def test_blur_spreads_a_dot_and_keeps_its_sum() -> None:
    dots = torch.zeros(4, 3, 33, 33)
    dots[:, :, 16, 16] = 1.0
    blurred = augmented(dots, blur=0.05)
    assert torch.allclose(blurred.sum(dim=(2, 3)), torch.tensor(1.0), atol=1e-4)
    steps = torch.arange(33.0) - 16
    spread = (blurred[:, 0].sum(dim=1) * steps**2).sum(dim=1).sqrt()
    expected = draw_augmentation(np.random.default_rng(3), 4, AugmentConfig(blur=0.05)).blur * 33
    # A narrow Gaussian is truncated to whole pixels.
    assert torch.allclose(spread, torch.from_numpy(expected), atol=0.25)
    assert spread.max() > 1


def test_noise_has_the_drawn_strength_and_is_reproducible() -> None:
    grey = torch.full((4, 3, 32, 32), 0.5)
    noisy = augmented(grey, noise=0.1)
    assert torch.equal(noisy, augmented(grey, noise=0.1))
    deviations = (noisy - grey).std(dim=(1, 2, 3))
    drawn = draw_augmentation(np.random.default_rng(3), 4, AugmentConfig(noise=0.1)).noise.ravel()
    assert torch.allclose(deviations, torch.from_numpy(drawn), rtol=0.1)


def test_every_second_image_is_partly_hidden() -> None:
    images = torch.rand(200, 3, 32, 32)
    hidden = (augmented(images, occlusion=0.25) != images).any(dim=1).float().mean(dim=(1, 2))
    assert 0.35 < (hidden > 0).float().mean() < 0.6
    assert hidden.max() < 0.3
    fractions = hidden[hidden > 0]
    # Some rectangles extend beyond the edge.
    assert 0.05 < fractions.mean() < 0.15


def test_grey_removes_colours_and_gamma_keeps_black_and_white() -> None:
    images, _ = batch(8)
    grey = augmented(images, grey=1.0)
    assert torch.allclose(grey, images.mean(dim=1, keepdim=True).expand_as(grey), atol=1e-6)
    darker = augmented(images, gamma=0.5)
    exponents = (darker[:, 0, 3, 3].log() / images[:, 0, 3, 3].log()).abs().log()
    assert exponents.abs().max() <= 0.5 + 1e-3 and exponents.std() > 0.1


def test_some_images_lose_their_details() -> None:
    checks = torch.zeros(12, 3, 32, 32)
    checks[:, :, ::2, ::2] = checks[:, :, 1::2, 1::2] = 1.0
    reduced = augmented(checks, reduction=4.0)
    contrast = reduced.std(dim=(1, 2, 3))
    kept = (contrast - 0.5).abs() < 0.01
    assert 5 <= kept.sum() <= 11
    assert contrast[~kept].max() < 0.4


def test_other_images_cover_a_part() -> None:
    images = torch.arange(32, dtype=torch.float32).view(32, 1, 1, 1).expand(32, 3, 16, 16) / 32
    covered = augmented(images, occlusion=0.4)
    others = {
        round(float(value) * 32, 3)
        for image, original in zip(covered, images, strict=True)
        for value in image[image != original].unique()
    }
    # Both parts of other images, and plain colours.
    assert any(value == int(value) for value in others)
    assert any(value != int(value) for value in others)


CROPS = AugmentConfig(crop_shift=0.1, crop_scale=0.2, crop_roll_deg=20)


def test_crops_move_as_their_transforms_say() -> None:
    """A dot in the image follows the same transform as the point that it shows."""
    transforms = draw_crop_transforms(np.random.default_rng(1), 6, CROPS, 64)
    assert transforms is not None
    point = np.array([12.0, 7.0, 0.0])
    column, row = pixel_from_crop(point[None], 64, 64)[0]
    grid = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")) * 1.0
    dot = torch.exp(-((grid[0] - row) ** 2 + (grid[1] - column) ** 2) / 18)
    moved = warp_crops(dot.expand(6, 3, 64, 64), transforms)[:, 0]
    for image, transform in zip(moved, transforms, strict=True):
        weights = image / image.sum()
        seen = [float((weights * grid[1]).sum()), float((weights * grid[0]).sum())]
        expected = pixel_from_crop(transform_points(transform, point[None]), 64, 64)[0]
        assert np.abs(seen - expected).max() < 0.5


def test_crops_are_drawn_within_their_limits() -> None:
    transforms = draw_crop_transforms(np.random.default_rng(1), 200, CROPS, 64)
    assert transforms is not None
    scales = np.cbrt(np.linalg.det(transforms[:, :, :3]))
    rolls = np.degrees(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]))
    assert 0.8 <= scales.min() < 0.85 and 1.15 < scales.max() <= 1.2
    assert -20 <= rolls.min() < -15 and 15 < rolls.max() <= 20
    assert 5 < np.abs(transforms[:, :2, 3]).max() <= 6.4 and not transforms[:, 2, 3].any()
    assert draw_crop_transforms(np.random.default_rng(1), 2, AugmentConfig(), 64) is None
