"""Training samples held in memory: images as bytes, targets as compressed bits.

A target of 96 x 96 x 96 is 110 kB as bits and some 3 kB compressed, so a
hundred thousand samples fit in the memory of a laptop.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rayboot.errors import ShapeError
from rayboot.geometry.volume import unpack_occupancy

__all__ = ["Batch", "SampleStore"]


class Batch(NamedTuple):
    """Images (B, S, S, 3) uint8 and targets (B, D, S, S) bool."""

    images: np.ndarray
    targets: np.ndarray


class SampleStore:
    """Samples of one shape, read by index.

    Args:
        samples: (image (S, S, 3) uint8, packed target) pairs; targets as
            :func:`rayboot.geometry.volume.pack_occupancy` makes them.
        shape: (D, H, W) of every target.
    """

    def __init__(
        self, samples: Iterable[tuple[np.ndarray, bytes]], shape: tuple[int, int, int]
    ) -> None:
        images: list[np.ndarray] = []
        self._targets: list[bytes] = []
        for image, target in samples:
            if image.shape != (shape[1], shape[2], 3) or image.dtype != np.uint8:
                raise ShapeError(
                    f"sample {len(images)}: image must be uint8 {(shape[1], shape[2], 3)} to go "
                    f"with targets {shape}, got {image.dtype} {image.shape}"
                )
            images.append(image)
            self._targets.append(target)
        if not images:
            raise ShapeError("no training sample; the data set or its split is empty")
        self._images = np.stack(images)
        self.shape = shape

    def __len__(self) -> int:
        return len(self._targets)

    def read(self, indices: np.ndarray) -> Batch:
        """The samples of ``indices`` (B,), in that order."""
        targets = np.stack([unpack_occupancy(self._targets[i], self.shape) for i in indices])
        return Batch(self._images[indices], targets)
