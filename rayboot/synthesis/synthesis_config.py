"""What a synthesised set of faces is made of."""

from typing import Literal

from pydantic import Field, model_validator

from rayboot.config import FrozenConfig

__all__ = ["SynthesisConfig", "YawConfig"]


class YawConfig(FrozenConfig):
    """How yaw is spread over the photos."""

    kind: Literal["uniform", "steps", "frontal_heavy"] = "uniform"
    """``uniform`` in [-max, max]; ``steps``: each of ``steps_deg`` equally often, both
    signs; ``frontal_heavy``: like AFLW2000-3D's, two thirds within 30 degrees."""
    max_deg: float = Field(75.0, gt=0, le=90)
    steps_deg: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "YawConfig":
        if (self.kind == "steps") != bool(self.steps_deg):
            raise ValueError("steps_deg goes with kind: steps, and only with it")
        return self


class SynthesisConfig(FrozenConfig):
    """A set of photographs of faces whose shape is known."""

    num_identities: int = Field(ge=1)
    photos_per_identity: int = Field(1, ge=1)
    yaw: YawConfig = YawConfig()
    max_pitch_deg: float = Field(12.0, ge=0, le=45)
    max_roll_deg: float = Field(10.0, ge=0, le=45)
    photo_size: int = Field(144, ge=64)
    """Width and height of the photos, px; the face's box is about half of it."""
    crop_size: int = Field(96, ge=32)
    """Of the crop in whose frame the truth is kept, px."""
    slices: int = Field(96, ge=16)
    """Depth of the true volumes, half pixels."""
    solid_depth: float = Field(65.0, gt=10)
    """From the nose to the plane that the face is filled back to, px of a 192 px crop."""
    first_identity: int = Field(0, ge=0)
    """Identities are numbered from here; sets that do not overlap share no face."""
    seed: int = 0
