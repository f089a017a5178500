"""One synthetic face: its photo, and its shape and pose in the frame of the crop."""

from typing import Any, NamedTuple

import numpy as np

from rayboot.geometry.camera import gaze_angles, transform_points
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.face_solid import build_face_solid, fill_soft_volume
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.landmarks68 import (
    FEATURE_DEPTH,
    depth_of_features,
    interocular_distance,
)
from rayboot.geometry.surface_depth import (
    complete_surface_depth,
    measure_columns,
    pack_surface_depth,
)
from rayboot.geometry.volume import pack_occupancy
from rayboot.render import Renderer
from rayboot.synthesis.backgrounds import load_backgrounds
from rayboot.synthesis.photo import Photo, render_photo
from rayboot.synthesis.proportions import nearest_identity
from rayboot.synthesis.sampling import FaceSample, draw_sample
from rayboot.synthesis.synthesis_config import SynthesisConfig

__all__ = ["SyntheticFace", "make_face"]


class SyntheticFace(NamedTuple):
    """A photo and its ground truth.

    Attributes:
        photo: photo with its landmarks.
        truth: row of :data:`rayboot.data.ground_truth.TRUTH_SCHEMA`.
    """

    photo: Photo
    truth: dict[str, Any]


def make_face(
    config: SynthesisConfig, number: int, face_id: str, renderer: Renderer
) -> SyntheticFace:
    """Makes the face with a given number; it depends on nothing but the arguments.

    Args:
        config: settings of the data set.
        number: number of the photo in the data set, from 0.
        face_id: id of the face in the data set.
        renderer: renderer of ``config.photo_size`` px.
    """
    identity, photo_number = divmod(number, config.photos_per_identity)
    identity += config.first_identity
    sample = draw_sample(config, load_head_model(), identity, photo_number)
    backgrounds = load_backgrounds(config.backgrounds) if config.backgrounds else None
    photo = render_photo(sample, load_head_model(), renderer, config.photo_size, backgrounds)
    truth = _ground_truth(face_id, f"identity-{identity:06d}", config, sample, photo)
    return SyntheticFace(photo, truth)


def _ground_truth(
    face_id: str, group_id: str, config: SynthesisConfig, sample: FaceSample, photo: Photo
) -> dict[str, Any]:
    model, size = load_head_model(), config.crop_size
    crop = landmark_crop(photo.landmarks, size)
    crop_from_head = _crop_from_head(crop, photo.photo_from_head, config.photo_size, size)
    px_per_unit = np.linalg.det(crop_from_head[:, :3]) ** (1 / 3)
    jaw = photo.head[model.landmarks[:17]]
    # Teeth and eyelids are included: the front of the solid is what the camera sees from the front.
    depth = config.solid_depth * size / 192 / px_per_unit
    solid = build_face_solid(photo.head, model.faces, jaw, depth)
    landmarks = transform_points(crop_from_head, photo.head[model.landmarks])
    depth_shift = FEATURE_DEPTH * size - depth_of_features(landmarks)
    crop_from_head[2, 3] += depth_shift
    landmarks[:, 2] += depth_shift
    rotation = sample.rotation
    yaw, pitch = np.degrees(gaze_angles(rotation[:, 2]))
    identity = nearest_identity(sample.identity, sample.proportions)
    shape = (config.slices, size, size)
    # Wide enough that occupancy is linear in the distance on both sides of the surface.
    soft = fill_soft_volume(solid, crop_from_head, shape, width=4.0)
    depth = complete_surface_depth(measure_columns(soft - np.float32(0.5)), size)
    return {
        "face_id": face_id,
        "group_id": group_id,
        "crop": crop.ravel(),
        "shape": list(shape),
        "occupancy": pack_occupancy(soft >= 0.5),
        "surface_depth": pack_surface_depth(depth),
        # Its parameters are those of the head itself, and cannot express a near camera.
        "head": np.concatenate([identity, sample.expression, crop_from_head.ravel()])
        .astype("<f4")
        .tobytes(),
        "vertices": transform_points(crop_from_head, photo.head[model.front])
        .astype("<f4")
        .tobytes(),
        "landmarks": landmarks.ravel(),
        "symmetry_normal": rotation[:, 0],
        "up": rotation[:, 1],
        "gaze": rotation[:, 2],
        "yaw_deg": yaw,
        "pitch_deg": pitch,
        "roll_deg": sample.angles_deg[2],
        "interocular": interocular_distance(landmarks),
    }


def _crop_from_head(
    crop: np.ndarray, photo_from_head: np.ndarray, photo_size: int, size: int
) -> np.ndarray:
    """Transform (3, 4) from the head's frame to the crop's; the depth offset is added later."""
    scale = crop[0, 0]
    # Both frames have their origin in the middle of the image and y upward.
    centre = crop[:, :2] @ np.full(2, (photo_size - 1) / 2) + crop[:, 2] - (size - 1) / 2
    shift = scale * photo_from_head[:, 3] + np.array([centre[0], -centre[1], 0.0])
    return np.column_stack([scale * photo_from_head[:, :3], shift])
