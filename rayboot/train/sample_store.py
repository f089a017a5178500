"""Training samples held in memory, pictures and targets compressed, targets not turned yet.

A face's target takes some kilobytes at most and is held once for all its views; a picture
is decoded, and a target unpacked and turned, when its batch is made. So a worker's share
of a million pairs fits in the memory of its machine.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from rayboot.data.images import decode_photo
from rayboot.errors import ShapeError

__all__ = ["Batch", "Sample", "SampleStore"]


class Sample(NamedTuple):
    """One picture and its target.

    Attributes:
        image: (S, S, 3) uint8, or the bytes of a picture file of that size.
        target: as a pairs data set keeps it.
        transform: (3, 4) that carries the target to where the picture shows it; None leaves it.
        is_source: the picture is an unrotated photo, its target what the network said of it.
        yaw_deg: where the face looks in the picture.
    """

    image: np.ndarray | bytes
    target: bytes
    transform: np.ndarray | None = None
    is_source: bool = False
    yaw_deg: float = 0.0


class Batch(NamedTuple):
    """Samples to train on.

    Attributes:
        images: (B, S, S, 3) uint8.
        targets: (B, ...) as the network's ``decode`` gives them, not turned yet.
        transforms: (B, 3, 4) float64 that turn them.
        is_source: (B,) bool, which are unrotated photos.
        weights: (B,) float32, how much each counts; None is all alike.
    """

    images: np.ndarray
    targets: np.ndarray
    transforms: np.ndarray
    is_source: np.ndarray
    weights: np.ndarray | None


class SampleStore:
    """Samples of one shape, read by index.

    Args:
        samples: in the order of their indices.
        shape: (D, S, S) of every volume.
        decode: a target's bytes to an array, see
            :meth:`rayboot.models.reconstructor.Reconstructor.decode`.
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
            raise ShapeError("no training sample; the data set or its split is empty")
        self._transforms = np.stack(transforms)
        self._decode, self.shape = decode, shape
        self.is_source = np.array(is_source)
        """(N,) bool, which are unrotated photos."""
        self.yaws_deg = np.array(yaws)
        """(N,) float64, where the faces look."""
        self._weights: np.ndarray | None = None

    def take(self, indices: np.ndarray, weights: np.ndarray | None = None) -> "SampleStore":
        """A store of some of the samples.

        Args:
            indices: (M,) of them.
            weights: (M,) float32, how much each counts; None is all alike.
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
        """The samples of ``indices`` (B,), in that order.

        Raises:
            ShapeError: a picture or a target has another size.
        """
        return Batch(
            np.stack([self._image(index) for index in indices]),
            np.stack([self._target(index) for index in indices]),
            self._transforms[indices],
            self.is_source[indices],
            None if self._weights is None else self._weights[indices],
        )

    def _image(self, index: int) -> np.ndarray:
        stored = self._images[index]
        image = decode_photo(stored) if isinstance(stored, bytes) else stored
        if image.shape != (*self.shape[1:], 3) or image.dtype != np.uint8:
            raise ShapeError(
                f"sample {index}: image must be uint8 {(*self.shape[1:], 3)} to go with targets "
                f"{self.shape}, got {image.dtype} {image.shape}"
            )
        return image

    def _target(self, index: int) -> np.ndarray:
        try:
            return self._decode(self._targets[index], self.shape)
        except ShapeError as error:
            raise ShapeError(f"sample {index}: {error}") from error
