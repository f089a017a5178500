"""The interface of every network that can be bootstrapped, whatever it predicts.

A round uses a single-image reconstructor in four ways: it gets the shapes of photos
as volumes, which are rotated and rendered; it encodes a shape as the training target
of a pairs data set; it transforms such a target along with a view; and it computes a
loss. Any network can be bootstrapped that implements :class:`Reconstructor` and whose
class is registered in :data:`rayboot.models.weights.NETWORK_KINDS`; no code outside
this package depends on the kind.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
import torch
from torch import nn

from rayboot.errors import ShapeError
from rayboot.models.network_config import NetworkConfig

__all__ = ["Reconstructor", "require_images"]


class Reconstructor(nn.Module, ABC):
    """A network that reconstructs a face from one photo.

    An estimate is the network's raw output, which its loss compares with a target. The
    estimates, or targets, of a batch are one tensor with a row per sample.
    """

    target_kind: ClassVar[str]
    """Kind of the targets that it learns from, as pairs data sets name it."""

    config: NetworkConfig
    """Sizes of the network."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """Returns a network with newly initialised weights."""

    @abstractmethod
    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Returns the shapes as :meth:`occupancy` does, or the estimate.

        Args:
            images: (B, 3, S, S) float in [0, 1], RGB, S = ``config.resolution``.
            raw: whether the estimate is returned, which training uses.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """

    @abstractmethod
    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the shapes (B, D, S, S) in [0, 1] in the frame of the crop.

        The estimate may be modified in place.
        """

    def surface_field(self, estimate: torch.Tensor, isovalue: float) -> torch.Tensor | None:
        """Returns a field (B, D, h, w) that is positive where occupancy exceeds ``isovalue``.

        Its zero crossings locate the surface between slices. h and w divide the crop's width. None
        means that depth maps of this network's shapes are not kept.
        """
        return None

    @abstractmethod
    def encode(self, estimate: torch.Tensor) -> list[bytes] | None:
        """Returns the payload that a pairs data set stores as the target of each sample.

        None means that the network learns from what every pairs data set contains: the bits of
        the volume, or its depth maps, as :attr:`target_kind` says.
        """

    @abstractmethod
    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Returns a stored target as an array that can be stacked to a batch.

        Args:
            payload: target from a pairs data set.
            shape: (D, S, S) of the face's volume.

        Raises:
            ShapeError: the payload is not a target of this kind and shape.
        """

    @abstractmethod
    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Returns the targets to learn from, transformed from the source crops to the views.

        Args:
            targets: stacked results of :meth:`decode`, on the device.
            transforms: (B, 3, 4) float64, from the frame of each source to its view's, px.
        """

    @abstractmethod
    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the estimates of another network of this kind as targets, without rounding."""

    @abstractmethod
    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns transformed targets, or estimates, with left and right exchanged."""

    @abstractmethod
    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the loss that training minimises: a mean over the batch, a scalar.

        Args:
            estimate: raw output of the network.
            targets: result of :meth:`transform_targets` or :meth:`soft_targets`.
            weights: (B,) factors on the loss of each sample; None stands for ones.
        """

    @abstractmethod
    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns transformed targets as volumes (B, D, S, S), occupied where at least 0.5."""

    @abstractmethod
    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Returns the intersection over union (B,) float of the shapes as volumes, at 0.5."""


def require_images(images: torch.Tensor, config: NetworkConfig) -> None:
    """Checks that a batch of images is one that a network of this config accepts.

    Raises:
        ShapeError: the images have another shape, or are not floats.
    """
    size = config.resolution
    if images.shape[1:] != (3, size, size) or not images.is_floating_point():
        raise ShapeError(
            f"images must be float (B, 3, {size}, {size}) in [0, 1], got {images.dtype} "
            f"{tuple(images.shape)}; crop photos with rayboot.geometry.crop.warp_photo first"
        )
