"""A volumetric U-Net, from a crop of a photo to soft occupancy at half the crop's resolution.

Its decoder has skips, so the columns of the volume follow features of 2 px, where VRN enlarges
features of 4 px. It learns from depth maps, whose surface lies between the voxels, and its shapes
keep that: occupancy is linear in the logit, so an isosurface crosses between two voxels where the
logit does.

Source:
    Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation,
    MICCAI 2015, with the volumetric output of VRN (Jackson et al., ICCV 2017).
"""

import itertools
from typing import ClassVar, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.models.network_config import UNetConfig
from rayboot.models.reconstructor import require_images
from rayboot.models.soft_occupancy import soft_occupancy
from rayboot.models.volume_filters import smooth_depth, upsample_cubic
from rayboot.models.volumetric import VolumetricReconstructor

__all__ = ["MAX_LOGIT", "VolumetricUNet"]

MAX_LOGIT = 12.0
"""Logits are clipped to this value where they become an occupancy."""

_DEPTH_SIGMA = 1.5
"""Standard deviation of the smoothing along the depth axis, slices of half a pixel."""

_STRIDE = 2
"""Pixels of the crop per column of the volume."""


class VolumetricUNet(VolumetricReconstructor):
    """A U-Net whose output channels are the slices of a volume.

    Its estimates are logits (B, D, S / 2, S / 2); its targets, soft volumes of that size.

    Args:
        config: sizes of the network.
    """

    target_kind: ClassVar[str] = "surface_depth"
    config: UNetConfig

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UNetConfig()
        widths = self.config.channels
        blocks = self.config.num_blocks
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, stride=_STRIDE, padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.encoder = nn.ModuleList([_blocks(widths[0], widths[0], blocks)])
        self.decoder = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(widths):
            self.encoder.append(nn.Sequential(nn.MaxPool2d(2), _blocks(inputs, outputs, blocks)))
            self.decoder.append(_blocks(outputs + inputs, inputs, blocks))
        self.head = nn.Sequential(
            _convolution(widths[0], self.config.head_channels, 3),
            _convolution(self.config.head_channels, self.config.head_channels, 1),
            nn.Conv2d(self.config.head_channels, self.config.slices, 1),
        )

    @classmethod
    # Each kind of network accepts only its own config.
    def from_config(cls, config: UNetConfig) -> Self:  # type: ignore[override]
        """Returns a network with newly initialised weights."""
        return cls(config)

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Returns the occupancy (B, D, S, S) of a batch of crops, or the logits.

        Args:
            images: (B, 3, S, S) float in [0, 1], RGB, S = ``config.resolution``.
            raw: whether the logits (B, D, S / 2, S / 2) are returned.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """
        require_images(images, self.config)
        features = self.stem(images)
        skips = []
        for level in self.encoder:
            features = level(features)
            skips.append(features)
        skips.pop()
        for level in reversed(self.decoder):
            enlarged = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = level(torch.cat([enlarged, skips.pop()], dim=1))
        logits: torch.Tensor = self.head(features)
        return logits if raw else self.occupancy(logits)

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns occupancy that is linear in the logit and 0.5 where the logit is 0.

        Of the sigmoid, which saturates within a slice, an isosurface would keep the steps of the
        slices. Logits are enlarged by cubic convolution, because the tip of a nose is as narrow
        as two columns and linear interpolation cuts it off.
        """
        enlarged = upsample_cubic(_smoothed_along_depth(estimate))
        return enlarged.mul_(0.5 / MAX_LOGIT).add_(0.5).clamp_(0, 1)

    def surface_field(self, estimate: torch.Tensor, isovalue: float) -> torch.Tensor:
        """Returns the logits above the one whose occupancy is the isovalue."""
        return _smoothed_along_depth(estimate) - MAX_LOGIT * (2 * isovalue - 1)

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Returns the depth maps (3, h, w) float32 of a stored target.

        Raises:
            ShapeError: the payload does not contain depth maps of a crop of ``shape``.
        """
        return unpack_surface_depth(payload, shape[2])

    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Returns the soft volumes (B, D, S / 2, S / 2) of depth maps (B, 3, h, w)."""
        size = self.config.resolution
        shape = (self.config.slices, size // _STRIDE, size // _STRIDE)
        return soft_occupancy(targets, transforms, shape, size, self.config.softness)

    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns the volumes enlarged to the crop's resolution."""
        return functional.interpolate(
            targets, scale_factor=_STRIDE, mode="bilinear", align_corners=False
        )


def _smoothed_along_depth(estimate: torch.Tensor) -> torch.Tensor:
    """Returns clipped logits (B, D, h, w) float32 whose noise from slice to slice is averaged.

    Every slice is a channel of its own, so the zero crossings of neighbouring columns differ by
    fractions of a slice, which shows as ridges. Across columns nothing is smoothed: details stay.
    """
    return smooth_depth(estimate.float().clamp(-MAX_LOGIT, MAX_LOGIT), _DEPTH_SIGMA)


class _Block(nn.Module):
    """A residual bottleneck block: 1x1, 3x3 and 1x1 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.branch = nn.Sequential(
            _convolution(inputs, middle, 1),
            _convolution(middle, middle, 3),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.branch(features) + self.shortcut(features))


def _blocks(inputs: int, outputs: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(inputs if i == 0 else outputs, outputs) for i in range(count)))


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
