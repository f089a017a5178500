"""What the bootstrap asks of a network, whatever it predicts.

A round needs four things of a single-image reconstructor: the shapes of photos as volumes,
which are turned and drawn; what a pairs data set keeps of a shape as its training target;
how such a target is carried along with a view; and a loss. Who implements
:class:`Reconstructor` and adds the class to :data:`rayboot.models.weights.KINDS` can be
bootstrapped; nothing outside this package knows which one runs.
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

    An estimate is what the network puts out before anything is made of it, and what its
    loss compares with a target. Targets of a batch are one tensor, or a row each.
    """

    target_kind: ClassVar[str]
    """Of the targets that it learns from, as a pairs data set names them."""

    config: NetworkConfig

    @classmethod
    @abstractmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """A network with fresh weights."""

    @abstractmethod
    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """The estimate (``raw``), or the shapes as :meth:`occupancy` gives them.

        Args:
            images: (B, 3, S, S) float in [0, 1], RGB, S = ``config.resolution``.
            raw: leave it an estimate, as training wants it.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """

    @abstractmethod
    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Shapes (B, D, S, S) in [0, 1] in the frame of the crop; may change the estimate."""

    @abstractmethod
    def encode(self, estimate: torch.Tensor) -> list[bytes] | None:
        """What a pairs data set keeps of each as its target; None if the volume's bits do."""

    @abstractmethod
    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """A kept target as an array that can be stacked.

        Args:
            payload: from a pairs data set.
            shape: (D, S, S) of the face's volume.

        Raises:
            ShapeError: it is none of this kind.
        """

    @abstractmethod
    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Targets to learn from.

        Args:
            targets: of :meth:`decode`, stacked, on the device.
            transforms: (B, 3, 4) float64, from the frame of each source to its view's, px.
        """

    @abstractmethod
    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """Estimates of another network of this kind as targets, nothing rounded."""

    @abstractmethod
    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Turned targets as a mirror shows them, left and right exchanged."""

    @abstractmethod
    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What training minimises: a mean over the batch, a scalar.

        Args:
            estimate: of the network.
            targets: of :meth:`turn`.
            weights: (B,) that multiply each sample's share; None is all ones.
        """

    @abstractmethod
    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Turned targets as volumes (B, D, S, S), occupied where at least 0.5."""

    @abstractmethod
    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Intersection over union of the shapes as volumes, at 0.5, (B,) float."""


def require_images(images: torch.Tensor, config: NetworkConfig) -> None:
    """Refuses a batch that a network of this config does not take.

    Raises:
        ShapeError: the images have another shape, or are not floats.
    """
    size = config.resolution
    if images.shape[1:] != (3, size, size) or not images.is_floating_point():
        raise ShapeError(
            f"images must be float (B, 3, {size}, {size}) in [0, 1], got {images.dtype} "
            f"{tuple(images.shape)}; crop with geometry.crop first"
        )
