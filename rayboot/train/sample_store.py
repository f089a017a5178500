"""Training samples in memory: images and targets compressed, targets not yet transformed.

A face's target is a few kilobytes and is stored once for all its views. An image is decoded,
and a target unpacked and transformed, only for the batch that contains it. So a worker's part
of a million pairs fits into the memory of its machine.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from rayboot.data.images import decode_photo
from rayboot.errors import ShapeError

__all__ = ["Batch", "Sample", "SampleStore"]


class Sample(NamedTuple):
    """An image and its target.

    Attributes:
        image: (S, S, 3) uint8, or the bytes of an image file of that size.
        target: bytes as a pairs data set stores them.
        transform: (3, 4) from the target's frame to the image's; None is the identity.
        is_source: whether the image is an unrotated photo, whose target is the network's own
            prediction.
        yaw_deg: yaw of the face's gaze in the image.
    """

    image: np.ndarray | bytes
    target: bytes
    transform: np.ndarray | None = None
    is_source: bool = False
    yaw_deg: float = 0.0


class Batch(NamedTuple):
    """Samples of one training step.

    Attributes:
        images: (B, S, S, 3) uint8.
        targets: (B, ...) as the network's ``decode`` returns them, not yet transformed.
        transforms: (B, 3, 4) float64, from the targets' frames to the images'.
        is_source: (B,) bool, True for unrotated photos.
        weights: (B,) float32, weight of each sample in the loss; None weighs all alike.
    """

    images: np.ndarray
    targets: np.ndarray
    transforms: np.ndarray
    is_source: np.ndarray
    weights: np.ndarray | None


class SampleStore:
    """Samples of one shape, read by index.

    Args:
        samples: samples in the order of their indices.
        shape: (D, S, S) of every volume.
        decode: function from a target's bytes to an array, see
            :meth:`rayboot.models.reconstructor.Reconstructor.decode`.

    Raises:
        ShapeError: there is no sample.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        shape: tuple[int, int, int],
        decode: Callable[[bytes, tuple[int, int, int]], np.ndarray],
    ) -> None:
        self._images: list[np.ndarray | bytes] = []
        self._targets: list[bytes] = []
        transforms: list[np.ndarray] = []
        is_source: list[bool] = []
        yaws: list[float] = []
        for sample in samples:
            self._images.append(sample.image)
            self._targets.append(sample.target)
            transforms.append(np.eye(3, 4) if sample.transform is None else sample.transform)
            is_source.append(sample.is_source)
            yaws.append(sample.yaw_deg)
        if not self._images:
            raise ShapeError("there is no training sample: the data set or its split is empty")
        self._transforms = np.stack(transforms)
        self._decode, self.shape = decode, shape
        self.is_source = np.array(is_source)
        """(N,) bool, True for unrotated photos."""
        self.yaws_deg = np.array(yaws)
        """(N,) float64, yaw of each face's gaze in its image."""
        self._weights: np.ndarray | None = None

    def take(self, indices: np.ndarray, weights: np.ndarray | None = None) -> "SampleStore":
        """Returns a store of some of the samples.

        Args:
            indices: (M,) indices of the samples.
            weights: (M,) float32, weight of each sample in the loss; None weighs all alike.
        """
        samples = [
            Sample(
                self._images[i],
                self._targets[i],
                self._transforms[i],
                bool(self.is_source[i]),
                float(self.yaws_deg[i]),
            )
            for i in indices
        ]
        store = SampleStore(samples, self.shape, self._decode)
        store._weights = weights
        return store

    def __len__(self) -> int:
        return len(self._targets)

    def read(self, indices: np.ndarray) -> Batch:
        """Decodes the samples of ``indices`` (B,), in that order.

        Raises:
            ShapeError: an image or a target has another size.
        """
        return Batch(
            np.stack([self._read_image(index) for index in indices]),
            np.stack([self._read_target(index) for index in indices]),
            self._transforms[indices],
            self.is_source[indices],
            None if self._weights is None else self._weights[indices],
        )

    def _read_image(self, index: int) -> np.ndarray:
        stored = self._images[index]
        image = decode_photo(stored) if isinstance(stored, bytes) else stored
        if image.shape != (*self.shape[1:], 3) or image.dtype != np.uint8:
            raise ShapeError(
                f"sample {index}: image must be uint8 {(*self.shape[1:], 3)} to match targets of "
                f"{self.shape}, got {image.dtype} {image.shape}"
            )
        return image

    def _read_target(self, index: int) -> np.ndarray:
        try:
            return self._decode(self._targets[index], self.shape)
        except ShapeError as error:
            raise ShapeError(f"sample {index}: {error}") from error
