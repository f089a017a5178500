"""The volumetric regression network: a photo in, an occupancy volume out.

The modules nest as in the released VRN-Unguided, so its state dict fits key by
key. Unlike in the usual stacked hourglass, the nested level sits in the
full-resolution branch.

Source:
    Jackson et al., Large Pose 3D Face Reconstruction from a Single Image via
    Direct Volumetric CNN Regression, ICCV 2017, as released.
"""

from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rayboot.errors import ShapeError
from rayboot.models.losses import voxel_cross_entropy
from rayboot.models.network_config import VRNConfig
from rayboot.models.reconstructor import Reconstructor, require_images
from rayboot.models.transform import transform_volumes, unpack_bits

__all__ = ["VRN", "BranchSum", "Upsample"]


class VRN(nn.Sequential, Reconstructor):
    """A network of the family; keys are those of the released state dict.

    Its estimate are the volume's logits, its targets volumes (B, D, H, W) bool.

    Args:
        config: sizes; by default the released network's.
    """

    target_kind: ClassVar[str] = "occupancy"
    config: VRNConfig

    def __init__(self, config: VRNConfig | None = None) -> None:
        self_config = config or VRNConfig()
        width, stem = self_config.channels, self_config.stem_channels
        bottleneck = self_config.stem_bottleneck
        # The placeholders keep the positions of Torch7's additions, which hold no weights.
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
                for layer in (BranchSum(nn.Identity(), _module(self_config)), nn.Identity())
            ),
            nn.Sequential(_head(self_config)),
        )
        self.config = self_config

    @classmethod
    def from_config(cls, config: VRNConfig) -> Self:  # type: ignore[override]
        """A network with fresh weights."""
        return cls(config)

    def forward(self, images: torch.Tensor, *, raw: bool = False) -> torch.Tensor:
        """Occupancy of a batch of crops.

        Args:
            images: (B, 3, H, W) float in [0, 1], RGB, H = W = ``config.resolution``.
            raw: leave out the sigmoid, as training wants it.

        Returns:
            (B, D, H, W), occupancy in [0, 1] (or logits); slices grow towards the viewer.

        Raises:
            ShapeError: the images have another shape, or are not floats.
        """
        require_images(images, self.config)
        volume = super().forward(images)
        return volume if raw else torch.sigmoid(volume)

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """The logits' sigmoid, in their place."""
        return estimate.sigmoid_()

    def encode(self, estimate: torch.Tensor) -> None:
        """Nothing beside the volume's bits."""

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Bits (D, H, W / 8) uint8 of a packed volume.

        Raises:
            ShapeError: it holds no ``shape`` of bits.
        """
        depth, height, width = shape
        size = depth * height * width // 8
        try:
            bits = pa.decompress(payload, size, codec="zstd", asbytes=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise ShapeError(f"a target is no {shape} of bits, compressed with zstd") from error
        if len(bits) != size:
            raise ShapeError(f"a target holds {len(bits)} bytes, {shape} needs {size}")
        return np.frombuffer(bits, np.uint8).reshape(depth, height, width // 8)

    def transform_targets(self, targets: torch.Tensor, transforms: np.ndarray) -> torch.Tensor:
        """Volumes (B, D, H, W) bool of bits (B, D, H, W / 8), turned."""
        return transform_volumes(unpack_bits(targets), transforms)

    def soft_targets(self, estimate: torch.Tensor) -> torch.Tensor:
        """Occupancy in [0, 1]."""
        return torch.sigmoid(estimate.float())

    def mirror(self, targets: torch.Tensor) -> torch.Tensor:
        """Columns in the other order."""
        return targets.flip(-1)

    def loss(
        self, estimate: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """:func:`~rayboot.models.losses.voxel_cross_entropy`."""
        return voxel_cross_entropy(estimate, targets, weights)

    def target_volumes(self, targets: torch.Tensor) -> torch.Tensor:
        """The same."""
        return targets

    def iou(self, estimate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Intersection over union at 0.5, (B,); 0 where both are empty."""
        predicted = estimate > 0
        union = (predicted | targets).sum(dim=(1, 2, 3)).clamp(min=1)
        return (predicted & targets).sum(dim=(1, 2, 3)) / union


class BranchSum(nn.ModuleList):
    """Branches of one input, summed."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__(branches)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The sum of what both branches make of ``features``."""
        first, second = self
        return first(features) + second(features)


def _residual(inputs: int, middle: int, outputs: int) -> nn.Module:
    """BN, ReLU, 1x1; BN, ReLU, 3x3; BN, ReLU, 1x1; and the input, projected if it must be."""
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
    """One level: a full-resolution branch that holds the next, a pooled branch, a block."""
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


def _module(config: VRNConfig) -> nn.Module:
    width = config.channels
    return nn.Sequential(*_level(config, config.levels), _pointwise(width), _pointwise(width))


def _pointwise(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _head(config: VRNConfig) -> nn.Module:
    return nn.Sequential(
        _pointwise(config.channels), nn.Conv2d(config.channels, config.slices, 1), Upsample()
    )


class Upsample(nn.Module):
    """Features at a quarter of the resolution to the volume's."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``features`` (B, C, H, W) at four times their height and width."""
        # Slice by slice in memory, as volumes are kept: cheaper here than after enlarging.
        # Torch7's bilinear upsampling maps corner to corner.
        features = features.contiguous()
        if features.dtype == torch.bfloat16:
            # Processors that multiply in bfloat16 do this five times faster as two products.
            rows, columns = (_corner_aligned(n, features) for n in features.shape[2:])
            return rows @ (features @ columns.T)
        return nn.functional.interpolate(
            features, scale_factor=4, mode="bilinear", align_corners=True
        )


def _corner_aligned(length: int, like: torch.Tensor) -> torch.Tensor:
    """Weights (4 * length, length) of linear interpolation from end to end."""
    unit = torch.eye(length, device=like.device)[None]
    weights = nn.functional.interpolate(unit, size=4 * length, mode="linear", align_corners=True)
    return weights[0].T.to(like.dtype)
