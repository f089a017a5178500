"""Configs of networks and of inference, which can be read without loading PyTorch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rayboot.config import FrozenConfig

__all__ = ["HeadConfig", "InferenceConfig", "NetworkConfig", "Precision", "UNetConfig", "VRNConfig"]

Precision = Literal["auto", "float32", "bfloat16"]


class VRNConfig(FrozenConfig):
    """Sizes of a volumetric regression network; the defaults are the released VRN-Unguided's."""

    resolution: int = Field(192, ge=32)
    """Width and height of image and volume, px; a multiple of 8."""
    slices: int = Field(200, ge=8)
    """Depth of the volume, half pixels."""
    stem_channels: int = Field(64, ge=4)
    """Number of channels of the first convolution; doubled once before the modules."""
    stem_bottleneck: int = Field(64, ge=4)
    """Number of bottleneck channels of the two residual blocks at the start."""
    channels: int = Field(256, ge=8)
    """Number of channels of the modules; an even number."""
    num_modules: int = Field(2, ge=1)
    """Number of stacked hourglass modules."""
    levels: int = Field(4, ge=1)
    """Number of nested levels of a module."""
    upper_blocks: int = Field(3, ge=1)
    """Number of residual blocks of a level's full-resolution branch."""
    lower_blocks: int = Field(6, ge=1)
    """Number of residual blocks of a level's pooled branch."""
    deepest_blocks: int = Field(9, ge=1)
    """Number of residual blocks of the innermost level's pooled branch."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.resolution % 8:
            raise ValueError(f"resolution must be a multiple of 8, got {self.resolution}")
        if self.channels % 2:
            raise ValueError(f"channels must be even, got {self.channels}")
        return self

    @classmethod
    def compact(cls) -> Self:
        """Returns the sizes of the shipped network: 96 px, 96 slices, for two CPU cores."""
        return cls(
            resolution=96,
            slices=96,
            stem_channels=32,
            stem_bottleneck=16,
            channels=128,
            num_modules=2,
            levels=1,
            upper_blocks=1,
            deepest_blocks=6,
        )


def _require_halvings(resolution: int, channels: tuple[int, ...]) -> None:
    """Checks that an image can be halved once for each number of channels, and the numbers."""
    step = 2 ** len(channels)
    if resolution % max(step, 8):
        raise ValueError(f"resolution must be a multiple of {step}, got {resolution}")
    # With multiples of 8, training in channels-last ends in a segmentation fault of oneDNN.
    if not channels or any(width < 16 or width % 16 for width in channels):
        raise ValueError(f"channels must be multiples of 16, got {channels}")


class UNetConfig(FrozenConfig):
    """Sizes of a volumetric U-Net; the defaults are for two CPU cores."""

    resolution: int = Field(96, ge=32)
    """Width and height of image and volume, px."""
    slices: int = Field(112, ge=8)
    """Depth of the volume, half pixels."""
    channels: tuple[int, ...] = (48, 80, 128, 160, 192)
    """Number of channels of each level; the first has half the image's resolution, and each
    following one half that of the one before. Multiples of 16."""
    num_blocks: int = Field(2, ge=1)
    """Number of residual blocks of a level, on each of the two paths."""
    head_channels: int = Field(128, ge=16)
    """Number of channels between the last feature map and the slices; a multiple of 16."""
    softness: float = Field(1.0, gt=0)
    """Distance over which the occupancy of the targets falls from 1 to 0, px."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_halvings(self.resolution, self.channels)
        if self.head_channels % 16:
            raise ValueError(f"head_channels must be a multiple of 16, got {self.head_channels}")
        return self


class HeadConfig(FrozenConfig):
    """Sizes of a regressor of the parametric head model."""

    resolution: int = Field(96, ge=32)
    """Width and height of the image, px; a multiple of 32."""
    slices: int = Field(96, ge=8)
    """Depth of the volume to which its shapes are converted, half pixels."""
    channels: tuple[int, ...] = (32, 48, 96, 128, 192)
    """Number of channels after each halving of the image; multiples of 16."""
    features: int = Field(256, ge=8)
    """Number of features between the last feature map and the parameters."""
    solid_depth: float = Field(65.0, gt=10)
    """Distance from the nose to the back plane of the face solid, px of a 192 px crop."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_halvings(self.resolution, self.channels)
        return self


NetworkConfig = VRNConfig | UNetConfig | HeadConfig


class InferenceConfig(FrozenConfig):
    """Settings of fast inference; the defaults are fast on every machine.

    bfloat16 changes occupancy by a few hundredths at most (tested), the surface by 0.01 px
    in the median and by less than 0.1 px in 99 of 100 places (shipped network, 64 photos).
    """

    precision: Precision = "auto"
    """Precision of the convolutions; ``auto`` is bfloat16 where the processor multiplies in it."""
    channels_last: bool = True
    """Whether tensors are stored with their channels last, which is faster."""
    average_mirrored: bool = False
    """Whether a prediction is the mean of those of an image and of its mirror image, mirrored
    back; it takes twice the time."""
    compile: bool = False
    """Whether the network is compiled; only on a GPU. Compiling delays the start of
    every actor; `rayboot doctor --gpu` measures what it gains."""
    num_threads: int | None = Field(None, ge=1)
    """Number of PyTorch's threads on a CPU; None keeps the process's setting."""
