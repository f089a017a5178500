"""Settings of a synthetic data set."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from rayboot.config import FrozenConfig, Uri

__all__ = ["SynthesisConfig", "YawConfig"]


class YawConfig(FrozenConfig):
    """Distribution of yaw over the photos."""

    kind: Literal["uniform", "steps", "frontal_heavy"] = "uniform"
    """Kind of the distribution. ``uniform``: in [-max, max]; ``steps``: each of ``steps_deg``
    equally often, with random sign; ``frontal_heavy``: as in AFLW2000-3D, two thirds within 30
    degrees."""
    max_deg: float = Field(75.0, gt=0, le=90)
    """Largest absolute yaw; not used by ``steps``."""
    steps_deg: tuple[float, ...] = ()
    """Absolute yaws of ``steps``."""

    @model_validator(mode="after")
    def _require_consistency(self) -> "YawConfig":
        if (self.kind == "steps") != bool(self.steps_deg):
            raise ValueError(
                f"steps_deg must be given if and only if kind is steps, got kind {self.kind} and "
                f"steps_deg {self.steps_deg}"
            )
        return self


class SynthesisConfig(FrozenConfig):
    """A data set of photos of faces whose shape is known."""

    num_identities: int = Field(ge=1)
    """Number of identities."""
    photos_per_identity: int = Field(1, ge=1)
    """Number of photos of each identity."""
    yaw: YawConfig = YawConfig()
    """Distribution of yaw."""
    max_pitch_deg: float = Field(12.0, ge=0, le=45)
    """Largest absolute pitch; pitch is uniform."""
    max_roll_deg: float = Field(10.0, ge=0, le=45)
    """Largest absolute roll; roll is uniform."""
    photo_size: int = Field(144, ge=64)
    """Width and height of the photos, px; the face's box takes about half of it."""
    crop_size: int = Field(96, ge=32)
    """Width and height of the crop in whose frame the ground truth is stored, px."""
    slices: int = Field(96, ge=16)
    """Depth of the true volumes, in slices of half a pixel."""
    solid_depth: float = Field(65.0, gt=10)
    """Distance from the nose to the plane at the back of the face's solid, px of a 192 px crop."""
    backgrounds: Uri | None = None
    """Local folder of photographs without people, such as wallpapers, which most backgrounds are
    cut from; every machine that renders needs it. None draws all backgrounds."""
    first_identity: int = Field(0, ge=0)
    """Number of the first identity; data sets whose numbers do not overlap have no face in
    common."""
    seed: int = 0
    """Seed of all random draws."""
    num_workers: PositiveInt | None = None
    """Number of renderers, which changes nothing in the data set. None is one per CPU of the
    cluster, and this process alone where that takes no longer; 1 is always this process."""

    def content_digest(self) -> str:
        """Returns a digest of the settings that decide the photos: all but ``num_workers``."""
        return self.replace(num_workers=None).digest()
