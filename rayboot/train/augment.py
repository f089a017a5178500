"""Changes of a batch that leave its meaning: mirroring, and the light's colour."""

import numpy as np

from rayboot.train.samples import Batch

__all__ = ["augment_batch"]


def augment_batch(
    rng: np.random.Generator, batch: Batch, *, flip: bool, color_jitter: float
) -> Batch:
    """A changed copy of ``batch``.

    Args:
        rng: source of chance.
        batch: images and targets.
        flip: mirror a random half, image and volume alike. Volumes have depth
            first, so both mirror along their last spatial axis.
        color_jitter: largest relative change of brightness, contrast and channels.
    """
    images, targets = batch
    if flip:
        chosen = rng.random(len(images)) < 0.5
        images, targets = images.copy(), targets.copy()
        images[chosen] = images[chosen, :, ::-1]
        targets[chosen] = targets[chosen, :, :, ::-1]
    if color_jitter > 0:
        shape = (len(images), 1, 1, 1)
        gain = rng.uniform(1 - color_jitter, 1 + color_jitter, shape)
        tint = rng.uniform(1 - color_jitter / 2, 1 + color_jitter / 2, (len(images), 1, 1, 3))
        contrast = rng.uniform(1 - color_jitter, 1 + color_jitter, shape)
        mean = images.mean(axis=(1, 2), keepdims=True)
        changed = ((images - mean) * contrast + mean) * (gain * tint)
        images = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return Batch(images, targets)
