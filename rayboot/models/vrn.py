"""The volumetric regression network, from a crop of a photo to an occupancy volume.

The modules are nested as in the released VRN-Unguided, so its state dict fits key
by key. Unlike in the usual stacked hourglass, the nested level is part of the
full-resolution branch.

Source:
    Jackson et al., Large Pose 3D Face Reconstruction from a Single Image via
    Direct Volumetric CNN Regression, ICCV 2017, as released.
"""

import math
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rayboot.errors import ShapeError
from rayboot.models.network_config import VRNConfig
from rayboot.models.reconstructor import require_images
from rayboot.models.transform import transform_volumes, unpack_bits
from rayboot.models.volumetric import VolumetricReconstructor

__all__ = ["VRN", "BranchSum", "Upsample"]


class VRN(nn.Sequential, VolumetricReconstructor):
    """A volumetric regression network; its keys are those of the released state dict.

    Its estimates are the logits of volumes (B, D, H, W), its targets such volumes as bool.

    Args:
        config: sizes of the network; by default the released network's.
    """

    target_kind: ClassVar[str] = "occupancy"
    config: VRNConfig

    def __init__(self, config: VRNConfig | None = None) -> None:
        self_config = config or VRNConfig()
        width, stem = self_config.channels, self_config.stem_channels
        bottleneck = self_config.stem_bottleneck
        # The Identity modules stand for Torch7's additions, which have no weights but count in
        # the keys.
        super().__init__(
            nn.Conv2d(3, stem, 7, stride=2, padding=3),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            _residual(stem, bottleneck, 2 * stem),
            nn.MaxPool2d(2),
            _residual(2 * stem, bottleneck, 2 * stem),
            _residual(2 * stem, width // 2, width),
            *(
                layer
                for _ in range(self_config.num_modules)
                for layer in (BranchSum(nn.Identity(), _hourglass(self_config)), nn.Identity())
            ),
            nn.Sequential(_head(self_config)),
        )
        self.config = self_config

    @classmethod
    # Each kind of network accepts only its own config.
    def from_config(cls, config: VRNConfig) -> Self:  # type: ignore[override]
        """Returns a network with newly initialised weights."""
        return cls(config)

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Returns the occupancy of a batch of crops.

        Args:
            images: (B, 3, H, W) float in [0, 1], RGB, H = W = ``config.resolution``.
            raw: whether the sigmoid is omitted, as in training.

        Returns:
            (B, D, H, W), occupancy in [0, 1], or logits if ``raw``; slices grow towards the
            viewer.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """
        require_images(images, self.config)
        # PyTorch does not annotate Sequential.forward.
        volume: torch.Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return volume if raw else torch.sigmoid(volume)

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the sigmoid of the logits, computed in place."""
        return estimate.sigmoid_()

    def surface_field(self, estimate: torch.Tensor, isovalue: float) -> torch.Tensor:
        """Returns the logits above that of the isovalue."""
        return estimate.float() - math.log(isovalue / (1 - isovalue))

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Returns the bits (D, H, W / 8) uint8 of a packed volume.

        Args:
            payload: bits, compressed with zstd.
            shape: (D, H, W) of the volume.

        Raises:
            ShapeError: the payload does not contain the bits of a volume of ``shape``.
        """
        depth, height, width = shape
        size = depth * height * width // 8
        try:
            bits = pa.decompress(payload, size, codec="zstd", asbytes=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise ShapeError(
                f"a target must be the zstd-compressed bits of a volume {shape}, got "
                f"{len(payload)} bytes that do not decompress to it"
            ) from error
        if len(bits) != size:
            raise ShapeError(
                f"the bits of a volume {shape} are {size} bytes, a target contains {len(bits)}"
            )
        return np.frombuffer(bits, np.uint8).reshape(depth, height, width // 8)

    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Returns the transformed volumes (B, D, H, W) bool of bits (B, D, H, W / 8)."""
        return transform_volumes(unpack_bits(targets), transforms)

    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns the targets themselves, which are volumes already."""
        return targets


class BranchSum(nn.ModuleList):
    """Two branches with a common input, whose outputs are summed."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__(branches)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Returns the sum of both branches' outputs."""
        first, second = self
        summed: torch.Tensor = first(features) + second(features)
        return summed


def _residual(inputs: int, middle: int, outputs: int) -> nn.Module:
    """Returns a pre-activation bottleneck block.

    Its branch is BN, ReLU, 1x1; BN, ReLU, 3x3; BN, ReLU, 1x1. The shortcut is a 1x1
    projection if the number of channels changes, else the identity.
    """
    branch = nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, middle, 1),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, middle, 3, padding=1),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outputs, 1),
    )
    projection = (
        nn.Identity() if inputs == outputs else nn.Sequential(nn.Conv2d(inputs, outputs, 1))
    )
    return nn.Sequential(BranchSum(branch, projection))


def _level(config: VRNConfig, level: int) -> list[nn.Module]:
    """Returns one level: a full-resolution branch with the next level, a pooled branch, a block."""
    block = (config.channels, config.channels // 2, config.channels)
    upper = [_residual(*block) for _ in range(config.upper_blocks)]
    if level > 1:
        upper.append(nn.Sequential(*_level(config, level - 1)))
    count = config.lower_blocks if level > 1 else config.deepest_blocks
    lower = [
        nn.MaxPool2d(2),
        *(_residual(*block) for _ in range(count)),
        nn.Upsample(scale_factor=2),
    ]
    return [
        BranchSum(nn.Sequential(*upper), nn.Sequential(*lower)),
        nn.Identity(),
        _residual(*block),
    ]


def _hourglass(config: VRNConfig) -> nn.Module:
    width = config.channels
    return nn.Sequential(*_level(config, config.levels), _pointwise(width), _pointwise(width))


def _pointwise(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _head(config: VRNConfig) -> nn.Module:
    return nn.Sequential(
        _pointwise(config.channels), nn.Conv2d(config.channels, config.slices, 1), Upsample()
    )


class Upsample(nn.Module):
    """Upsamples features from a quarter of the resolution to the volume's."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Returns ``features`` (B, C, H, W) at four times their height and width."""
        # Volumes are stored slice by slice; the conversion is cheaper before upsampling.
        # Torch7's bilinear upsampling aligns corners.
        features = features.contiguous()
        if features.dtype == torch.bfloat16:
            # On processors that multiply in bfloat16, two matrix products are five times faster.
            rows, columns = (_upsampling_weights(n, features) for n in features.shape[2:])
            return rows @ (features @ columns.T)
        return nn.functional.interpolate(
            features, scale_factor=4, mode="bilinear", align_corners=True
        )


def _upsampling_weights(length: int, like: torch.Tensor) -> torch.Tensor:
    """Returns the weights (4 * length, length) of corner-aligned linear interpolation."""
    unit = torch.eye(length, device=like.device)[None]
    weights = nn.functional.interpolate(unit, size=4 * length, mode="linear", align_corners=True)
    return weights[0].T.to(like.dtype)
