"""Novel views of a reconstructed face, as a pure function of its pose and a config.

The bootstrap method rotates a reconstructed face away from the camera, never
towards it: the rotated view then shows part of what the photo shows, and nothing
that the photo hides. The paper does not print its angles. The steps here are
rayboot's own and are recorded with each data set.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from rayboot.config import FormerKey, FrozenConfig
from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import gaze_angles, pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.landmarks68 import FEATURE_DEPTH, depth_of_features

__all__ = ["View", "ViewConfig", "plan_views", "view_transform"]

_PRESETS = {
    "small": (20.0,),
    "middle": (20.0, 40.0),
    "large": (20.0, 40.0, 60.0),
}


class ViewConfig(FrozenConfig):
    """Rotations by which views of a face are made."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"crop_again": FormerKey("recrop")}

    preset: Literal["small", "middle", "large"] | None = "large"
    """Set of yaw steps, as in the paper's Table 1: small yaw; small and middle; small, middle
    and large. The degrees (20; 20, 40; 20, 40, 60) are rayboot's own. None uses
    ``yaw_steps_deg``."""
    yaw_steps_deg: tuple[float, ...] = ()
    """Yaw angles of the rotations, positive, applied to each side; only without a preset."""
    pitch_steps_deg: tuple[float, ...] = (0.0,)
    """Pitch angles, signed, that are combined with each yaw angle."""
    both_sides_within_deg: float = Field(20.0, ge=0, le=90)
    """Yaw below which a face is rotated to both sides; other faces are rotated only to
    the side to which they already look."""
    max_gaze_deg: float = Field(80.0, gt=0, lt=90)
    """Largest angle between the rotated gaze and the camera's axis."""
    min_pitch_deg: float = Field(-35.0, ge=-90, le=90)
    """Smallest pitch of the rotated gaze."""
    max_pitch_deg: float = Field(35.0, ge=-90, le=90)
    """Largest pitch of the rotated gaze."""
    recrop: bool = True
    """Whether the rotated face is cropped by its rotated landmarks, as a photograph of that
    pose would be. False leaves it where the rotation moves it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ViewConfig":
        if (self.preset is None) != bool(self.yaw_steps_deg):
            raise ValueError("give either a preset or yaw_steps_deg, not both and not neither")
        if any(not 0 < step < 90 for step in self.yaw_steps_deg):
            raise ValueError(f"yaw_steps_deg must be between 0 and 90, got {self.yaw_steps_deg}")
        if self.min_pitch_deg >= self.max_pitch_deg:
            raise ValueError(
                f"min_pitch_deg must be below max_pitch_deg, got {self.min_pitch_deg:g} and "
                f"{self.max_pitch_deg:g}"
            )
        return self

    def yaw_steps(self) -> tuple[float, ...]:
        """Returns the yaw angles in degrees, positive."""
        return _PRESETS[self.preset] if self.preset is not None else self.yaw_steps_deg


class View(NamedTuple):
    """A rotation of a face, and its resulting gaze.

    Attributes:
        yaw_deg: yaw of the rotation that is applied.
        pitch_deg: pitch of the rotation that is applied.
        gaze: (3,) float64, the resulting gaze.
        light: (3,) float64 towards a light in the view's frame, its strength as length; None
            for the photo's own light alone.
    """

    yaw_deg: float
    pitch_deg: float
    gaze: np.ndarray
    light: np.ndarray | None = None

    def rotation(self) -> np.ndarray:
        """Returns the rotation matrix (3, 3)."""
        return rotation_yaw_pitch(np.radians(self.yaw_deg), np.radians(self.pitch_deg))


def plan_views(gaze: np.ndarray, config: ViewConfig) -> list[View]:
    """Returns the views of a face that looks along ``gaze`` (3,), in a fixed order.

    A rotation is kept if it leads away from the camera, the resulting gaze stays
    within ``max_gaze_deg`` of the camera's axis and its pitch is inside the interval.
    """
    # The azimuth about the vertical, to which the yaw of a rotation adds up.
    azimuth_deg = float(np.degrees(np.arctan2(gaze[0], gaze[2])))
    signed = [sign * step for step in config.yaw_steps() for sign in (-1.0, 1.0)]
    views = []
    for yaw in signed:
        for pitch in config.pitch_steps_deg:
            rotation = rotation_yaw_pitch(np.radians(yaw), np.radians(pitch))
            view = View(float(yaw), float(pitch), rotation @ gaze)
            if _leads_away(azimuth_deg, yaw, config) and _is_within_limits(view.gaze, config):
                views.append(view)
    return views


def _leads_away(azimuth_deg: float, yaw_deg: float, config: ViewConfig) -> bool:
    """Whether a rotation by ``yaw_deg`` leads away from the camera, to a permitted side."""
    same_side = azimuth_deg * yaw_deg >= 0 or abs(azimuth_deg) < config.both_sides_within_deg
    return same_side and abs(azimuth_deg + yaw_deg) > abs(azimuth_deg)


def _is_within_limits(gaze: np.ndarray, config: ViewConfig) -> bool:
    """Whether a gaze satisfies the config's limits."""
    pitch = np.degrees(gaze_angles(gaze)[1])
    angle = np.degrees(np.arccos(np.clip(gaze[2], -1.0, 1.0)))
    pitch_allowed = config.min_pitch_deg <= pitch <= config.max_pitch_deg
    return bool(angle <= config.max_gaze_deg and pitch_allowed)


def view_transform(
    rotation: np.ndarray,
    vertices: np.ndarray,
    landmarks: np.ndarray,
    centroid: np.ndarray,
    shape: tuple[int, int, int],
    *,
    recrop: bool = True,
) -> np.ndarray:
    """Returns the transform from the source crop's frame to the view's frame.

    It is the rotation, followed by the crop of the rotated face. In depth the features of the
    face move to :data:`~rayboot.geometry.landmarks68.FEATURE_DEPTH`. A solid that reaches beyond
    the front of the volume is moved back until its front is inside: what is then cut off is the
    back, which is arbitrary anyway, and never the face.

    Args:
        rotation: (3, 3) rotation of the view.
        vertices: (N, 3) vertices of the solid, px.
        landmarks: (68, 3) landmarks on the solid, px.
        centroid: (3,) point about which the face rotates without ``recrop``.
        shape: (D, S, S) of the volume.
        recrop: whether the rotated face is cropped by its landmarks; False only rotates.

    Returns:
        (3, 4) float64.

    Raises:
        DegenerateInputError: the bounding box of the rotated landmarks has no area.
    """
    scale, shift = 1.0, centroid[:2] - (rotation @ centroid)[:2]
    if recrop:
        pixels = pixel_from_crop(landmarks @ rotation.T, shape[2], shape[1])
        affine = landmark_crop(pixels, shape[2])
        scale = affine[0, 0]
        centre = (landmarks @ rotation.T)[:, :2].mean(axis=0)
        # The crop moves the mean landmark to its centre, the frame's origin.
        shift = -scale * centre
    if not np.isfinite(scale) or scale <= 0:
        raise DegenerateInputError("the bounding box of the rotated landmarks has no area")
    # Slices are half a pixel apart; the last one stays empty, so that the surface is closed.
    foremost = (shape[0] - 1) / 4 - 0.5
    front = (scale * vertices @ rotation[2]).max()
    depth = depth_of_features(scale * landmarks @ rotation.T)
    depth_shift = min(FEATURE_DEPTH * shape[2] - depth, foremost - front)
    return np.column_stack([scale * rotation, [*shift, depth_shift]])
