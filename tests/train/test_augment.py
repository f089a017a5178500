import numpy as np
import torch

from rayboot.train.augment import apply_changes, draw_changes, mirror_chosen


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, (images[:, :1] > 0.4).repeat(1, 4, 1, 1)


def test_mirroring_goes_for_image_and_volume_alike() -> None:
    images, targets = batch(20)
    changes = draw_changes(np.random.default_rng(0), 20, flip=True, color_jitter=0.0)
    changed = apply_changes(images, changes)
    moved = mirror_chosen(targets, lambda all_targets: all_targets.flip(-1), changes)
    mirrored = (changed != images).flatten(1).any(dim=1)
    assert 3 < mirrored.sum() < 17
    assert torch.equal(mirrored, torch.from_numpy(changes.mirrored))
    assert torch.equal(moved, (changed[:, :1] > 0.4).repeat(1, 4, 1, 1))


def test_jitter_moves_colours_alone() -> None:
    images, _ = batch(6)
    changes = draw_changes(np.random.default_rng(0), 6, flip=False, color_jitter=0.2)
    assert not changes.mirrored.any()
    changed = apply_changes(images, changes)
    difference = (changed - images).abs()
    assert 0.02 < difference.mean() < 0.2
    assert (changed.min() >= 0) and (changed.max() <= 1)
    # Each picture in its own way.
    assert len({round(float(value), 4) for value in difference.mean(dim=(1, 2, 3))}) == 6


def test_no_changes_change_nothing() -> None:
    images, targets = batch(4)
    changes = draw_changes(np.random.default_rng(0), 4, flip=False, color_jitter=0.0)
    assert apply_changes(images, changes) is images
    assert mirror_chosen(targets, torch.neg, changes) is targets
