"""Where a face is looked at from: views as a pure function of pose and config.

The bootstrap method turns a reconstructed face away from the camera, never back:
the turned view then shows what the photo saw, less of it.  The paper does not
print its angles. The steps here are ours and are recorded with each data set.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from rayboot.config import FormerKey, FrozenConfig
from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import gaze_angles, pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.crop import landmark_crop

__all__ = ["View", "ViewConfig", "plan_views", "view_transform"]

_PRESETS = {
    "small": (20.0,),
    "middle": (20.0, 40.0),
    "large": (20.0, 40.0, 60.0),
}


class ViewConfig(FrozenConfig):
    """Which turns are made of a face."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"crop_again": FormerKey("recrop")}

    preset: Literal["small", "middle", "large"] | None = "large"
    """The variants of the paper's Table 1: small yaw; small and middle; small, middle
    and large. The degrees (20; 20, 40; 20, 40, 60) are rayboot's own. None: ``yaw_steps_deg``."""
    yaw_steps_deg: tuple[float, ...] = ()
    """Turns in yaw to each side, positive; only without a preset."""
    pitch_steps_deg: tuple[float, ...] = (0.0,)
    """Turns in pitch that go with each turn in yaw; signed."""
    both_sides_within_deg: float = Field(20.0, ge=0, le=90)
    """A face whose yaw is smaller than this turns to both sides, others only to
    the side that they look to already."""
    max_gaze_deg: float = Field(80.0, gt=0, lt=90)
    """Largest angle between the turned gaze and the camera's axis."""
    min_pitch_deg: float = Field(-35.0, ge=-90, le=90)
    max_pitch_deg: float = Field(35.0, ge=-90, le=90)
    recrop: bool = True
    """Crop the turned face by its turned landmarks, as a photograph of that pose
    would be cropped. False: leave it where the rotation puts it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ViewConfig":
        if (self.preset is None) != bool(self.yaw_steps_deg):
            raise ValueError("give either a preset or yaw_steps_deg, not both and not neither")
        if any(not 0 < step < 90 for step in self.yaw_steps_deg):
            raise ValueError(f"yaw_steps_deg must lie in (0, 90), got {self.yaw_steps_deg}")
        if self.min_pitch_deg >= self.max_pitch_deg:
            raise ValueError("min_pitch_deg must be below max_pitch_deg")
        return self

    def yaw_steps(self) -> tuple[float, ...]:
        """Turns in yaw, degrees, positive."""
        return _PRESETS[self.preset] if self.preset is not None else self.yaw_steps_deg


class View(NamedTuple):
    """One turn of a face, and where it then looks.

    Attributes:
        yaw_deg: the turn that is applied.
        pitch_deg: likewise.
        gaze: (3,) float64, the resulting direction.
        light: (3,) float64 towards a light in the view's frame, its strength as length; None
            for the photo's own light alone.
    """

    yaw_deg: float
    pitch_deg: float
    gaze: np.ndarray
    light: np.ndarray | None = None

    def rotation(self) -> np.ndarray:
        """(3, 3) of the turn."""
        return rotation_yaw_pitch(np.radians(self.yaw_deg), np.radians(self.pitch_deg))


def plan_views(gaze: np.ndarray, config: ViewConfig) -> list[View]:
    """The views of a face that looks along ``gaze`` (3,), in a fixed order.

    A turn is kept if it leads away from the camera, the resulting gaze stays
    within ``max_gaze_deg`` of the camera's axis and its pitch inside the interval.
    """
    # Seen from above: what a turn about the vertical adds to.
    yaw_now = float(np.degrees(np.arctan2(gaze[0], gaze[2])))
    signed = [sign * step for step in config.yaw_steps() for sign in (-1.0, 1.0)]
    views = []
    for yaw in signed:
        for pitch in config.pitch_steps_deg:
            rotation = rotation_yaw_pitch(np.radians(yaw), np.radians(pitch))
            view = View(float(yaw), float(pitch), rotation @ gaze)
            if _leads_away(yaw_now, yaw, config) and _within(view.gaze, config):
                views.append(view)
    return views


def _leads_away(yaw_now: float, turn: float, config: ViewConfig) -> bool:
    same_side = yaw_now * turn >= 0 or abs(yaw_now) < config.both_sides_within_deg
    return same_side and abs(yaw_now + turn) > abs(yaw_now)


def _within(gaze: np.ndarray, config: ViewConfig) -> bool:
    pitch = np.degrees(gaze_angles(gaze)[1])
    angle = np.degrees(np.arccos(np.clip(gaze[2], -1.0, 1.0)))
    return angle <= config.max_gaze_deg and config.min_pitch_deg <= pitch <= config.max_pitch_deg


def view_transform(
    rotation: np.ndarray,
    vertices: np.ndarray,
    landmarks: np.ndarray,
    centroid: np.ndarray,
    shape: tuple[int, int, int],
    *,
    recrop: bool = True,
) -> np.ndarray:
    """From the source crop's frame to the view's: the turn, then the crop of the turned face.

    In depth the solid is then put in the middle: the centre of its extent lies
    at z = 0, which leaves a turned face the most room. One deeper than the volume
    has its front put inside: what is cut off then is the back, which is arbitrary
    anyway, and never the face.

    Args:
        rotation: (3, 3) of the turn.
        vertices: (N, 3) of the solid, px.
        landmarks: (68, 3) on it, px.
        centroid: (3,) that the plain mode turns about.
        shape: (D, S, S) of the volume.
        recrop: False for the plain mode, which only turns.

    Returns:
        (3, 4) float64.

    Raises:
        DegenerateInputError: the turned landmarks have no area.
    """
    scale, shift = 1.0, centroid[:2] - (rotation @ centroid)[:2]
    if recrop:
        pixels = pixel_from_crop(landmarks @ rotation.T, shape[2], shape[1])
        affine = landmark_crop(pixels, shape[2])
        scale = affine[0, 0]
        centre = (landmarks @ rotation.T)[:, :2].mean(axis=0)
        # The crop puts the mean landmark on its centre, the frame's origin.
        shift = -scale * centre
    if not np.isfinite(scale) or scale <= 0:
        raise DegenerateInputError("the turned landmarks have no area")
    z = scale * vertices @ rotation[2]
    # Slices are half a pixel; the last stays empty, so that the surface closes.
    foremost = (shape[0] - 1) / 4 - 0.5
    depth_shift = min(-(z.min() + z.max()) / 2, foremost - z.max())
    return np.column_stack([scale * rotation, [*shift, depth_shift]])
